"""Redis may take as long as it likes to answer, as in Celery by default: for the API and for the relay."""

import system.celery_app
from system.factory import create_app
from system.settings import Settings

configuration = system.celery_app.configuration


def patient(settings: Settings) -> dict[str, object]:
    conf = configuration(settings)
    for name in ("socket_timeout", "socket_connect_timeout", "health_check_interval"):
        del conf["broker_transport_options"][name]
    return conf


system.celery_app.configuration = patient
app = create_app()

if __name__ == "__main__":
    from system.relay import main

    main()
