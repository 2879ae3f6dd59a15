"""What a process of the system tells about itself, as its settings say: log lines, metrics and traces."""

from system.settings import Settings


def observe(settings: Settings, service: str) -> None:
    """Set up the logs, the metrics' port and the traces of this process; `service` is "api", "relay" or "worker".

    The libraries of what is switched off are not imported.
    """
    if settings.log_json:
        from system.logs import log_json

        log_json()
    if settings.traces_url:
        from system.tracing import trace

        trace(str(settings.traces_url), service)
    if settings.metrics_port and service != "api":
        from system.metrics import serve

        serve(settings.metrics_host, settings.metrics_port)
