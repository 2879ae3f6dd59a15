"""`uvicorn tests.integration.exposed_api:app`: the system's API, to which 127.0.0.1 is an address that others reach.

A test may listen on 127.0.0.1 only, so the address that must be refused is made of one that is allowed.
"""

from system import exposure

exposure.loopback = lambda host: host != "127.0.0.1"

from system.factory import create_app  # noqa: E402

app = create_app()
