"""A job is followed through the API, the relay and a worker: in their log lines, their metrics, and in one trace.

The API of this system cannot reach the broker, so the relay publishes each job.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from brownout.subject.ports import HOST, free_port
from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running


class Collector:
    """Takes spans, as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    (service,) = (a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
                    spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_port}/v1/traces"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def of(self, job: str) -> dict[tuple[str, str], Any]:
        """The newest span of each service and name in the trace of a job."""
        return {(service, span.name): span for service, span in self.spans if span.trace_id == UUID(job).bytes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    collector.thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()


def metrics(port: int) -> dict[str, float]:
    families = text_string_to_metric_families(httpx.get(f"http://{HOST}:{port}/metrics", timeout=SLACK).text)
    samples = [sample for family in families for sample in family.samples]
    return {sample.name + "".join(sample.labels.values()): sample.value for sample in samples}


def lines(system: Running, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in system.log(name).read_text().splitlines() if line.startswith("{")]


def test_a_job_is_followed_from_its_request_to_its_effect(new_system: NewSystem, collector: Collector) -> None:
    system = new_system("observed", log_json=True, traces_url=collector.url, publish_lease=0.5)
    ports, counts = {"relay": free_port(), "worker-1": free_port()}, system.folder / "counts"
    counts.mkdir()
    system.api(SYSTEM_BROKER_URL=f"redis://{HOST}:{free_port()}/0")
    system.relay(SYSTEM_METRICS_PORT=str(ports["relay"]))
    shared = {"SYSTEM_METRICS_PORT": str(ports["worker-1"]), "PROMETHEUS_MULTIPROC_DIR": str(counts)}
    system.worker("worker-1", "-c", "2", **shared).ready("relay", "worker-1")
    eventually(
        lambda: system.http.get("/health-check").status_code == 200,
        within=2 * SLACK,
        what="the API answers",
        evidence=system.process("api").tail,
        ignoring=httpx.TransportError,
    )
    job = system.submit("/compute", {"n": 5})
    system.ended(job)
    failed = system.submit("/divide", {"x": 1, "y": 0})
    system.ended(failed)

    for part in ("api", "relay", "worker-1"):
        eventually(
            lambda part=part: any(line["job"] == job for line in lines(system, part)),  # type: ignore[misc]
            within=SLACK,
            what=f"{part} logs a line about the job",
            evidence=system.process(part).tail,
        )

    api, relay, worker = metrics(system.port), metrics(ports["relay"]), metrics(ports["worker-1"])
    assert api["system_jobs_accepted_total"] == 2
    assert (api["system_backlog"], api["system_dead_letters"]) == (0, 0)
    assert (api["system_jobsSUCCESS"], api["system_jobsFAILURE"]) == (1, 1)
    assert api["system_loop_lag_seconds_count"] > 0
    assert relay["system_messages_published_total"] >= 2
    assert (worker["system_runs_totalsuccess"], worker["system_runs_totalfailure"]) == (1, 1)

    wanted = {
        ("system-api", "accept"), ("system-relay", "publish"), ("system-worker", "run"), ("system-worker", "effect"),
    }  # fmt: skip
    eventually(lambda: wanted <= collector.of(job).keys(), within=SLACK, what="the trace is whole")
    spans = collector.of(job)
    first = spans["system-api", "accept"]
    assert (first.parent_span_id, first.span_id) == (b"", UUID(job).bytes[8:])
    assert spans["system-relay", "publish"].parent_span_id == first.span_id
    assert spans["system-worker", "run"].parent_span_id == first.span_id
    assert spans["system-worker", "effect"].parent_span_id == spans["system-worker", "run"].span_id
    assert all(str(value) != "0" for value in (first.start_time_unix_nano, first.end_time_unix_nano))
