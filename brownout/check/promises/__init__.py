"""The promises that a scenario can make. Each function returns a Promise; the registry of checkers has the function
that judges the promise."""

from brownout.check.growth import nothing_leaks
from brownout.check.promises.acted import faults_acted
from brownout.check.promises.answers import answers
from brownout.check.promises.conservation import conservation
from brownout.check.promises.crosstalk import no_cross_talk
from brownout.check.promises.drain import backlog_within, drained, nothing_stuck
from brownout.check.promises.loss import at_least_once
from brownout.check.promises.once import at_most_once, effectively_once
from brownout.check.promises.queued import queued_within
from brownout.check.promises.retries import attempts_within, backoff_within
from brownout.check.promises.show import must_show
from brownout.check.promises.status import status_monotone, status_truthful
from brownout.check.promises.timed.latency import p99
from brownout.check.promises.timed.recovery import graceful, recovers, recovery_bound
from brownout.check.promises.timed.stall import loop_never_stalls, nothing_raised

# The promises of the module `life` judge one operation only. The module `life` is imported last, because
# `registry.finder_of` takes the first promise that finds an anomaly.
# isort: split
from brownout.check.promises.life import told_truly, took_effect_once, workers_consume, workers_survive

__all__ = [
    "answers",
    "at_least_once",
    "at_most_once",
    "attempts_within",
    "backlog_within",
    "backoff_within",
    "conservation",
    "drained",
    "effectively_once",
    "faults_acted",
    "graceful",
    "loop_never_stalls",
    "must_show",
    "no_cross_talk",
    "nothing_leaks",
    "nothing_raised",
    "nothing_stuck",
    "p99",
    "queued_within",
    "recovers",
    "recovery_bound",
    "status_monotone",
    "status_truthful",
    "told_truly",
    "took_effect_once",
    "workers_consume",
    "workers_survive",
]
