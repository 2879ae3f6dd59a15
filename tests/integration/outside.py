"""The unreliable HTTP service that `system.deliver` calls."""

import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived, at a time of `time.monotonic()`."""

    at: float
    item: dict[str, Any]
    status: int  # how it was answered; 0: not at all


class OutsideService:
    """Answers an item with 503 as often as its `failures` says (its `drops`: not at all), then with its `status` (200).

    Keeps each call.
    """

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = defaultdict(list)  # by Idempotency-Key
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                item = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if status := service.take(self.headers.get("Idempotency-Key", ""), item):
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    if "location" in item:
                        self.send_header("Location", item["location"])
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing: the calls are kept."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where items are taken."""
        return f"http://127.0.0.1:{self._server.server_port}/deliveries"

    def take(self, key: str, item: dict[str, Any]) -> int:
        """Note a call and say how it is to be answered."""
        before = len(self.calls[key])
        status = int(item.get("status", 200))
        status = 503 if before < item.get("failures", 0) else status
        status = 0 if before < item.get("drops", 0) else status
        self.calls[key].append(Call(time.monotonic(), item, status))
        return status

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
