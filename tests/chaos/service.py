"""The unreliable service outside, on the loopback: it refuses each key a few times, then takes it."""

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Service:
    """Answers 503 to the first `failures` calls of each Idempotency-Key, then 200. `calls` holds the answers by key."""

    def __init__(self, failures: int) -> None:
        self.calls: defaultdict[str, list[int]] = defaultdict(list)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                calls = service.calls[self.headers["Idempotency-Key"]]
                calls.append(503 if len(calls) < failures else 200)
                self.send_response(calls[-1])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/deliveries"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __str__(self) -> str:
        return self.url

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
