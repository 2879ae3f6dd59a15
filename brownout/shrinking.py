"""Makes the plan of a stored trial smaller while the trial still shows its anomaly, for `brownout shrink`."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from brownout.capsules import NotAlone, Secrets, within
from brownout.explore.shrink import Came, Step, confirmed, shrink
from brownout.explore.signals import Terminated, heeding
from brownout.explore.trials import Scratch
from brownout.lab import Lab
from brownout.plan.near import known
from brownout.plan.plan import Plan
from brownout.report.clean import clean
from brownout.report.progress import Progress, to_stream
from brownout.report.results import results
from brownout.report.scenario import scenario
from brownout.run.capsule import Answer, Broken, Capsule, answer, differences
from brownout.run.events import Remark, Stream
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trial import run
from brownout.subject.application import NotLaunched
from brownout.subject.waiting import NeverHappened

CAME: Final[dict[Answer, Came]] = {"reproduced": "same", "fixed": "other", "unknown": "unknown"}
SHRUNK = "shrunk"  # the name of the smaller capsule's folder, inside the folder of the stored capsule
TEST = "test_shrunk.py"
SHOWN = 160  # of the reason why a trial is unknown, at most this many characters are shown


def shrink_capsule(
    capsule: Capsule,
    confirm: tuple[int, int],
    anomaly: str,
    given: Mapping[str, str] | None = None,
    *,
    quiet: bool = False,
) -> int:
    """Shrink a capsule, store and print the result, and return the exit code.

    With `confirm` (N, M) a step is accepted when the anomaly appears in N of at most M trials. With `quiet` no step is
    shown. `given` are secrets that the capsule does not store, by name. Raises UnknownName for an anomaly that the
    stored trial did not find.
    """
    kinds = [broken.kind for broken in capsule.broken]
    kind = known("anomaly of this trial", anomaly or kinds[0], kinds)
    wanted = next(broken for broken in capsule.broken if broken.kind == kind)
    try:
        secrets = Secrets(given or {}, lambda line: sys.stderr.write(f"{line}\n"))
        progress = to_stream(sys.stderr, quiet=quiet, phases=False, expected=capsule.seconds)
        code, text = within(
            capsule, lambda setting: Shrinking(capsule, wanted, confirm, setting, progress).run(), secrets
        )
    except NotAlone as error:
        code, text = 2, f"unknown: {clean(str(error), 2_000)}\n"
    sys.stdout.write(text)
    return code


class Shrinking:
    """Shrinks one capsule. `smallest` is the result of the trial with the smallest plan that still showed the wanted
    anomaly."""

    def __init__(
        self, capsule: Capsule, wanted: Broken, confirm: tuple[int, int], setting: Setting, progress: Progress
    ) -> None:
        self._capsule, self._wanted, self._confirm = capsule, wanted, confirm
        self._tries = capsule.folder / "tries"
        self._emit = Stream(progress, results)
        self._setting = replace(setting, store=Scratch(self._tries, setting.store.root), emit=self._emit)
        self._usual = Lab(setting, 0, lambda _: "").plan.topology
        self._begin, self._trials = time.monotonic(), 0
        self._seen: Result | None = None  # the result of the newest trial that showed the anomaly
        self.smallest: Result | None = None

    def run(self) -> tuple[int, str]:
        """Shrink until the plan cannot be made smaller, or a signal comes, and store the smallest plan. Return the
        exit code and the text to print."""
        shutil.rmtree(self._tries, ignore_errors=True)
        self._say(f"looking for {self._wanted}")
        try:
            return self._run()
        finally:
            shutil.rmtree(self._tries, ignore_errors=True)

    def _run(self) -> tuple[int, str]:
        stored, code = self._setting.plan or self._capsule.plan, 0
        try:
            if not self._keeps(Step(stored, "the stored plan")):
                return 2, f"unknown: {self._wanted} did not appear again in {self._trials} trials\n"
            assert self.smallest
            for line in differences(self._capsule.folder, self.smallest.folder):
                self._say(f"  differs  {line}")
            for _ in shrink(stored, self._keeps):
                pass  # `_keeps` has stored the result of the step
        except (KeyboardInterrupt, Terminated) as stopped:
            if self.smallest is None:
                raise
            self._say("stopped; the smallest plan so far follows")
            code = 128 + (signal.SIGINT if isinstance(stopped, KeyboardInterrupt) else signal.SIGTERM)
        with heeding(lambda _: None):  # a second signal must not end the copying
            return code, self._stored(self.smallest)

    def _say(self, line: str) -> None:
        self._emit(Remark(line))

    def _keeps(self, step: Step) -> bool:
        """Return whether the anomaly appears with the smaller plan in as many trials as `confirm` asks for."""
        begin, before = time.monotonic(), self._trials
        keeps = confirmed(lambda: self._tried(step.plan), *self._confirm)
        if keeps:
            self.smallest = self._seen
        trials, seconds = self._trials - before, time.monotonic() - begin
        self._say(f"{'keeps it' if keeps else 'loses it'}  {step.what}  ({trials} trials, {seconds:.1f} s)")
        return keeps

    def _tried(self, plan: Plan) -> Came:
        self._trials += 1
        try:
            result = run(plan.validated(), self._setting)
        except (NotLaunched, NeverHappened, ValueError) as error:
            self._say(f"  unknown: {clean(str(error), SHOWN)}")
            return "unknown"
        word, why = answer(result, [self._wanted], [self._wanted])
        if word == "reproduced":
            self._seen = result
        elif word == "unknown":
            self._say(f"  unknown: {clean(why, SHOWN)}")
        # A trial with another anomaly does not reproduce the wanted anomaly.
        return "other" if result.validity == "invalid" and word != "reproduced" else CAME[word]

    def _stored(self, smallest: Result) -> str:
        """Store the smallest plan in the capsule's folder. Return the plan as a test, or as JSON if a test cannot
        express the plan."""
        plan, place = smallest.plan, self._capsule.folder / SHRUNK
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(smallest.folder, place)
        scene, note = self._capsule.scenario, f"Shrunk: {self._wanted.kind}. Fixtures, marks and services are those of"
        test = scenario(plan, "test_shrunk", self._usual, [self._wanted.promise], f"{note} {scene}.")
        if test:
            (place / TEST).write_text(test)
        before, seconds = self._capsule.plan, time.monotonic() - self._begin
        self._say(f"{_size(before)} became {_size(plan)} in {self._trials} trials and {seconds:.0f} s")
        self._say(f"stored in {place}: brownout replay {place}")
        return test or f"{plan.to_json()}\n"


def _size(plan: Plan) -> str:
    loads = " and ".join(f"{load.count or f'{load.lasting:g} s'} × {load.operation}" for load in plan.load)
    return f"[{', '.join(map(str, plan.injections)) or 'no fault'}; {loads}]"
