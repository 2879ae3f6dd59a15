"""Trials whose every text can be chosen, for the pages that are made of them."""

import json
from pathlib import Path

from brownout.check.verdict import Anomaly, Verdict
from brownout.history.event import Event
from brownout.history.view import History
from brownout.plan.operation import Http, Load, Submit
from brownout.plan.plan import Plan
from brownout.run.result import Result

SECONDS = 1_000_000_000
TASKS = ("11111111-0001", "22222222-0002")


def event(at: float, source: str, kind: str, key: str | None = None, task: str | None = None, **data: object) -> Event:
    """`at` in seconds."""
    return Event(int(at * SECONDS), source, kind, key, task, 70, data)


def events(text: str, secret: str) -> list[Event]:
    """Every kind of event that a page shows, with `text` in each place where the subject could have put one.

    `secret` is where a page shows nothing: in queries, bodies, arguments and results.
    """
    first, second = (f"{n}{text}" for n in (1, 2))
    return [
        event(0.0, "run", "phase", name="launch"),
        event(0.5, "run", "phase", name="load"),
        event(0.6, "broker", "sample", queues={f"q{text}": 1}, unacked=0, by_task={}),
        event(1.0, "client", "invoke", first, op="http", method="POST", path=f"/a{text}?q={secret}", json=secret),
        event(1.1, "client", "ok", first, TASKS[0], op="http", status=202, body=secret),
        event(1.2, "worker-1", "received", None, TASKS[0], name=f"t{text}", retries=0),
        event(1.3, "worker-1", "started", None, TASKS[0], name=f"t{text}", args=[secret]),
        event(1.4, "nemesis", "fault-start", fault=f"cut({text!r})", id="cut#1", target=f"api->{text}x"),
        event(1.5, "nemesis", "fault-acted", fault=f"cut({text!r})", id="cut#1", evidence=f"1 {text}"),
        event(1.6, "api", "stall", ms=90.0, stack=[f"a.py:1 {text}", f"b.py:2 {text}"], own=f"a.py:1 {text}"),
        event(1.7, "api", "raised", path=f"/a{text}", error=f"ValueError: {text}"),
        event(1.8, "worker-1", "failed", None, TASKS[0], error=f"E{text}", name=f"t{text}"),
        event(1.9, "client", "read", first, TASKS[0], state=f"S{text}", result=secret),
        event(2.0, "effects", "effect", None, TASKS[0], name=f"n{text}", value=secret),
        event(2.1, "effects", "effect", None, TASKS[0], name=f"n{text}", value=secret),
        event(2.2, "client", "invoke", second, op="submit", name=f"t{text}"),
        event(2.3, "client", "info", second, TASKS[1], error=f"E{text}"),
        event(2.4, "nemesis", "fault-stop", fault=f"cut({text!r})", id="cut#1"),
        event(2.5, "worker-1", "exit", code=-9, ended=70),
        event(2.6, "broker", "sample", queues={f"q{text}": 2}, unacked=1, by_task={TASKS[1]: f"q{text}"}),
        event(3.0, "run", "drained", ok=False, left=text),
    ]


def trial(folder: Path, text: str, *, secret: str = "hush", log: bytes | None = None) -> Result:
    """A trial that failed, with `text` in its name, its promises, its events, its files and its plan."""
    history = History(events(text, secret))
    key = f"1{text}"
    proof = [event for event in history if event.key == key or event.kind == "effect"]
    anomaly = Anomaly("duplicate", f"Job {text} took effect twice.", key, TASKS[0], tuple(proof))
    verdicts = (
        Verdict("invalid", f"effectively_once(by={text!r})", (anomaly,)),
        Verdict("unknown", f"p99({text!r})", why=f"nobody knows {text}"),
        Verdict("valid", f"drained({text!r})", why=f"all well {text}"),
    )
    load = (
        Load(
            Http("POST", f"/a{text}?q={secret}", {"password": secret}, {"Authorization": secret, "X-Any": secret}),
            0.1,
            3,
        ),
        Load(Submit(f"t{text}", (secret,), {"name": secret}), 0.1, 3),
    )
    (folder / "log").mkdir(parents=True, exist_ok=True)
    line = f"[2026-11-20 06:31:00,000: ERROR/Main] boom {text}\nTraceback (most recent call last):\nE.Error: {text}\n"
    (folder / "log" / "worker-1.log").write_bytes(line.encode("utf-8", "surrogatepass") if log is None else log)
    (folder / "conf.json").write_text(
        json.dumps({"worker": {"name": text, "broker_password": secret, "url": f"redis://:{secret}@b/0"}})
    )
    (folder / "env.json").write_text(json.dumps({"celery": f"5{text}"}))
    return Result(f"tests/t.py::t_a[{text}]", Plan(load=load, seed=7), verdicts, history, folder, 3.2)
