"""S2: work that must survive a restart runs in the API's own process and dies with it.

The mend gives it to a worker. uvicorn waits for background tasks on SIGTERM unless it is told a limit, so the loss
needs a SIGKILL, or `--timeout-graceful-shutdown`.
"""
