"""A queue does not grow unnoticed."""

from __future__ import annotations

from brownout.check.interval import Findings, over
from brownout.check.verdict import Anomaly, Verdict, judged, witness
from brownout.history.view import History
from brownout.plan.promise import Promise


def backlog_within(history: History, promise: Promise) -> Verdict:
    """No look into the broker finds more than `most` messages waiting in its queues.

    A queue that is over `most` only for as long as the processes waited for a CPU is in doubt.
    """
    samples, most = history.kind("sample"), promise.args["most"]
    lengths = [sum(sample.data.get("queues", {}).values()) for sample in samples]
    over_at = next((n for n, length in enumerate(lengths) if length > most), None)
    if over_at is None:
        why = f"at most {max(lengths, default=0)} waited"
        return judged(promise, doubt="" if samples else "nobody looked into the broker", why=why)
    sentence = f"{lengths[over_at]} messages waited in the queues; the limit is {most}."
    invoke = [event for event in history.kind("invoke") if event.at <= samples[over_at].at][-1:]
    proved = witness(*samples[max(0, over_at - 1) : over_at + 1], *invoke, history=history)
    found = Findings()
    # From the last look that was within the limit to the next one that is, the queue may have been over it.
    calm = next((n for n in range(over_at, len(lengths)) if lengths[n] <= most), len(lengths) - 1)
    busy = over(history, samples[max(0, over_at - 1)].at, samples[calm].at, 0)
    found.add(Anomaly("backlog", sentence, witness=proved), busy or 0)
    return found.verdict(promise)
