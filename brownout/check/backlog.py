"""A queue does not grow unnoticed."""

from __future__ import annotations

from brownout.check.interval import Findings, busy
from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.view import History
from brownout.plan.promise import Promise


def backlog_within(history: History, promise: Promise) -> Verdict:
    """No look into the broker finds more than `most` messages waiting in its queues.

    In doubt when, while the queue grew, the processes waited for a CPU for as long as it was then over `most`.
    """
    samples, most = history.kind("sample"), promise.args["most"]
    lengths = [sum(sample.data.get("queues", {}).values()) for sample in samples]
    over_at = next((n for n, length in enumerate(lengths) if length > most), None)
    if over_at is None:
        why = f"at most {max(lengths, default=0)} waited"
        doubt = "" if samples else history.blind or "nobody looked into the broker"
        return judged(promise, doubt=doubt, why=why)
    sentence = f"{lengths[over_at]} messages waited in the queues; the limit is {most}."
    invoke = [event for event in history.kind("invoke") if event.at <= samples[over_at].at][-1:]
    proved = witness(*samples[max(0, over_at - 1) : over_at + 1], *invoke, history=history)
    found = Findings()
    empty = next((samples[n].at for n in range(over_at - 1, -1, -1) if not lengths[n]), history.events[0].at)
    calm = next((n for n in range(over_at, len(lengths)) if lengths[n] <= most), len(lengths) - 1)
    waited = busy(history, empty, samples[over_at].at)
    lasted = samples[calm].at - samples[over_at].at
    found.add(Anomaly("backlog", sentence, witness=proved), waited if waited >= lasted else 0)
    return found.verdict(promise)
