"""`uvicorn tests.integration.impatient_api:app`: the system's API, whose streams end after a second.

The times are constants, and no settings, because no operator has a reason to change them.
"""

from system import streams

streams.PING_SECONDS = 600.0  # a client that waits for the end of its stream hears nothing before
streams.SEND_SECONDS = 0.5
streams.LIFE_SECONDS = 1.0

from system.factory import create_app  # noqa: E402

app = create_app()
