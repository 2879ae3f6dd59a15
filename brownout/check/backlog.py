"""A queue does not grow unnoticed."""

from __future__ import annotations

from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.view import History
from brownout.plan.promise import Promise


def backlog_within(history: History, promise: Promise) -> Verdict:
    """No look into the broker finds more than `most` messages waiting in its queues."""
    samples, most = history.kind("sample"), promise.args["most"]
    lengths = [sum(sample.data.get("queues", {}).values()) for sample in samples]
    over = next((n for n, length in enumerate(lengths) if length > most), None)
    if over is None:
        why = f"at most {max(lengths, default=0)} waited"
        return judged(promise, doubt="" if samples else "nobody looked into the broker", why=why)
    sentence = f"{lengths[over]} messages waited in the queues; promised were {most}."
    invoke = [event for event in history.kind("invoke") if event.at <= samples[over].at][-1:]
    proved = witness(*samples[max(0, over - 1) : over + 1], *invoke, history=history)
    return judged(promise, [Anomaly("backlog", sentence, witness=proved)])
