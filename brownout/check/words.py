"""The words of a map's outcomes, and how one of them is made of the verdicts of a trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from brownout.check.verdict import Validity, Verdict
from brownout.history.life import Life
from brownout.plan.near import known

#: What became of the operation, from good to bad; the sentence is what a report says.
GOOD: Mapping[str, str] = {
    "once": "took effect once, and its caller knows",
    "recovered": "took effect once, after a recovery",
    "refused": "was refused: the caller was told, and nothing was done",
    "unanswered": "its caller got no answer that tells; it took effect at most once",
}
BAD: Mapping[str, str] = {
    "unread": "took effect once and its result is stored, but get() fails",
    "misreported": "what is reported is not what was done",
    "hangs": "its caller waits, without an end in sight",
    "duplicate-later": "took effect once, and will again: its message is still unacked or back in the queue",
    "duplicate": "took effect more than once",
    "stuck": "is in `unacked` alone, until the visibility timeout",
    "lost": "was accepted, took no effect, and its message is nowhere",
}
#: What the fault did to a process, beside what it did to the operation.
FLAGS: Mapping[str, str] = {
    "api-stalled": "the API's event loop stood still",
    "worker-dead": "the worker ended by itself",
    "silent": "the worker lives and does not consume",
}
UNKNOWN = "unknown"
#: Outcomes and flags, the worst last: a worker that is silent fails every later task, too.
SEVERITY = (
    *(*GOOD, UNKNOWN, "unread", "api-stalled", "misreported", "hangs", "worker-dead"),
    *("duplicate-later", "duplicate", "stuck", "lost", "silent"),
)

# --- from verdicts to a word: the first row whose anomaly was found is the outcome

OUTCOMES: tuple[tuple[str, str], ...] = (
    # anomaly            outcome
    ("duplicate", "duplicate"),
    ("stuck", "stuck"),
    ("lost", "lost"),
    ("hangs", "hangs"),
    ("duplicate-later", "duplicate-later"),
    ("misreported", "misreported"),
    ("unread", "unread"),
)
#: A worker that has ended by itself cannot consume: that is no second thing.
BESIDE: tuple[tuple[str, str, str], ...] = (
    # anomaly            flag           not beside the anomaly
    ("stalled", "api-stalled", ""),
    ("worker-dead", "worker-dead", ""),
    ("silent", "silent", "worker-dead"),
)
#: Without an anomaly: what the caller was told decides, then whether it took more than a life without a fault.
CALM: Mapping[tuple[str, bool], str] = {
    # answered, again     outcome
    ("refused", False): "refused",
    ("refused", True): "refused",
    ("unknown", False): "unanswered",
    ("unknown", True): "unanswered",
    ("accepted", False): "once",
    ("accepted", True): "recovered",
}


@dataclass(frozen=True)
class Outcome:
    """What became of an operation, and what the fault did to processes. Text is made of it at the border."""

    word: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join((self.word, *self.flags))

    @property
    def validity(self) -> Validity:
        """Unknown, invalid or valid."""
        if self.word == UNKNOWN:
            return "unknown"
        return "invalid" if self.word in BAD or self.flags else "valid"


def outcome(verdicts: Iterable[Verdict], life: Life) -> Outcome:
    """Fold the verdicts on the promises of a map. `UNKNOWN` when one of them is unknown and none decides."""
    verdicts = tuple(verdicts)
    kinds = {anomaly.kind for verdict in verdicts for anomaly in verdict.anomalies}
    flags = tuple(flag for kind, flag, but in BESIDE if kind in kinds and but not in kinds)
    found = next((word for kind, word in OUTCOMES if kind in kinds), None)
    if found is None and any(verdict.validity == "unknown" for verdict in verdicts):
        return Outcome(UNKNOWN)
    again = bool(life.settled and life.settled.data["again"])
    return Outcome(found or CALM.get((life.answered, again), UNKNOWN), flags)


# --- words as text, in stored maps


def word(outcome: str, flags: Iterable[str] = ()) -> str:
    """One word for what was seen: "lost", or "once+silent" with what the fault did to a process."""
    return "+".join((outcome, *(flag for flag in FLAGS if flag in set(flags))))


def parts(word: str) -> tuple[str, ...]:
    """A verdict word's outcome and its flags: ("lost", "silent"). Of "unknown: why" the first word alone.

    UnknownName for a word that nobody knows: it must not pass for a good one.
    """
    if word.startswith(f"{UNKNOWN}:"):
        return (UNKNOWN,)
    outcome, *flags = word.split("+")
    return (known("outcome", outcome, (*GOOD, *BAD, UNKNOWN)), *(known("flag", flag, FLAGS) for flag in flags))


def validity_of(word: str) -> Validity:
    """Of one verdict word."""
    outcome, *flags = parts(word)
    return Outcome(outcome, tuple(flags)).validity


def severity(word: str) -> tuple[int, ...]:
    """Greater is worse: the worst part of the word decides, then its next one."""
    return tuple(sorted((SEVERITY.index(part) for part in parts(word)), reverse=True))
