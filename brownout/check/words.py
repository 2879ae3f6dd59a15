"""The outcome words of a map, and how the verdicts of a trial become one of these words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from brownout.check.verdict import Validity, Verdict
from brownout.history.life import Life
from brownout.plan.near import known

#: The possible outcomes of an operation, from good to bad, each with the words that a report uses.
GOOD: Mapping[str, str] = {
    "once": "took effect once, and its caller knows",
    "recovered": "took effect once, after a recovery",
    "refused": "was refused: the caller was told, and nothing was done",
    "unanswered": "its caller got no clear answer; it took effect at most once",
}
BAD: Mapping[str, str] = {
    "unread": "took effect once and its result is stored, but get() fails",
    "misreported": "its reported state is not true",
    "hangs": "its caller waits, without an end in sight",
    "duplicate-later": "took effect once, and will again: its message is still unacked or back in the queue",
    "duplicate": "took effect more than once",
    "stuck": "is in `unacked` alone, until the visibility timeout",
    "lost": "was accepted, took no effect, and its message is nowhere",
}
#: The flags of an outcome: effects of the fault on a process, beside its effect on the operation.
FLAGS: Mapping[str, str] = {
    "api-stalled": "the API's event loop was blocked",
    "worker-dead": "the worker ended by itself",
    "silent": "the worker lives and does not consume",
}
UNKNOWN = "unknown"
#: All outcomes and flags in one order: the worst comes last. A worker that lives and takes no tasks ("silent") is the
#: worst, because every later task fails, too.
SEVERITY = (
    *(*GOOD, UNKNOWN, "unread", "api-stalled", "misreported", "hangs", "worker-dead"),
    *("duplicate-later", "duplicate", "stuck", "lost", "silent"),
)

# --- from verdicts to a word: the first row of OUTCOMES whose anomaly was found gives the outcome

OUTCOMES: tuple[tuple[str, str], ...] = (
    # the columns of this table are the anomaly and the outcome
    ("duplicate", "duplicate"),
    ("stuck", "stuck"),
    ("lost", "lost"),
    ("hangs", "hangs"),
    ("duplicate-later", "duplicate-later"),
    ("misreported", "misreported"),
    ("unread", "unread"),
)
#: Maps an anomaly that was found to the flag that the outcome gets. A worker that ended by itself cannot consume, so
#: the anomaly `worker-dead` excludes the flag `silent`.
BESIDE: tuple[tuple[str, str, str], ...] = (
    # the columns of this table are the anomaly, the flag, and the anomaly that excludes the flag
    ("stalled", "api-stalled", ""),
    ("worker-dead", "worker-dead", ""),
    ("silent", "silent", "worker-dead"),
)
#: The outcome of an operation without an anomaly, by the answer to its caller and whether a recovery was needed.
CALM: Mapping[tuple[str, bool], str] = {
    # the columns of this table are the key (answered, again) and the outcome
    ("refused", False): "refused",
    ("refused", True): "refused",
    ("unknown", False): "unanswered",
    ("unknown", True): "unanswered",
    ("accepted", False): "once",
    ("accepted", True): "recovered",
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of an operation with its flags, which say what the fault did to processes; `str` returns the text
    that maps store."""

    word: str
    flags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "+".join((self.word, *self.flags))

    @property
    def validity(self) -> Validity:
        """The validity of the outcome: unknown, invalid or valid."""
        if self.word == UNKNOWN:
            return "unknown"
        return "invalid" if self.word in BAD or self.flags else "valid"


def outcome(verdicts: Iterable[Verdict], life: Life) -> Outcome:
    """Return the one outcome that follows from the verdicts on a map's promises, or UNKNOWN if a verdict is unknown and
    no anomaly was found."""
    verdicts = tuple(verdicts)
    kinds = {anomaly.kind for verdict in verdicts for anomaly in verdict.anomalies}
    flags = tuple(flag for kind, flag, but in BESIDE if kind in kinds and but not in kinds)
    bad = next((word for kind, word in OUTCOMES if kind in kinds), None)
    if bad is None and any(verdict.validity == "unknown" for verdict in verdicts):
        return Outcome(UNKNOWN)
    again = bool(life.settled and life.settled.data["again"])
    return Outcome(bad or CALM.get((life.answered, again), UNKNOWN), flags)


# --- outcomes as text, in stored maps


def word(outcome: str, flags: Iterable[str] = ()) -> str:
    """One word for an outcome and its flags: "lost", or "once+silent" with the flag "silent"."""
    return "+".join((outcome, *(flag for flag in FLAGS if flag in set(flags))))


def parts(word: str) -> tuple[str, ...]:
    """The outcome and the flags of a word: ("lost", "silent") of "lost+silent", ("unknown",) of "unknown: why".

    Raises UnknownName for an unknown word, because an unknown word must not count as good.
    """
    if word.startswith(f"{UNKNOWN}:"):
        return (UNKNOWN,)
    outcome, *flags = word.split("+")
    return (known("outcome", outcome, (*GOOD, *BAD, UNKNOWN)), *(known("flag", flag, FLAGS) for flag in flags))


def validity_of(word: str) -> Validity:
    """Return "valid", "invalid" or "unknown" for one outcome. Raises UnknownName for an unknown outcome."""
    outcome, *flags = parts(word)
    return Outcome(outcome, tuple(flags)).validity


def severity(word: str) -> tuple[int, ...]:
    """Return a sort key for outcomes: a greater key means a worse outcome. Two words are compared by their worst parts;
    if these are equal, by the next worst parts."""
    return tuple(sorted((SEVERITY.index(part) for part in parts(word)), reverse=True))
