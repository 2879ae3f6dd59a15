"""What a scenario is written with: a handful of verbs that build a plan, and `run()`, which carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Unpack

from brownout.plan.duration import Duration, seconds
from brownout.plan.fault import Fault
from brownout.plan.operation import Http, Load, Submit
from brownout.plan.plan import Injection, Plan
from brownout.plan.promise import Promise
from brownout.plan.topology import Topology, TopologyFields, Workers, WorkersFields
from brownout.plan.trigger import AfterFault, AtTime, OnEvent
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trial import run
from brownout.subject.application import Surface, surface
from brownout.subject.subject import NotLaunched

#: What a person reads of a result.
Report = Callable[[Result], str]


class Lab:
    """One scenario's bench. Describe the subject first, then its load, faults and promises; `run()` ends it.

    A misspelt task, route, target or event is an error of the verb that has it, with the near matches. `instead` is
    called in the place of the first trial; it takes what the trial would run in, and does not return.
    """

    def __init__(
        self, setting: Setting, seed: int, report: Report, instead: Callable[[Setting], None] | None = None
    ) -> None:
        application = setting.application
        topology = Topology(
            Workers(1 if application.celery else 0, queues=application.queues),
            servers=1 if application.api else 0,
            relay=bool(application.relay),
        )
        self.plan = Plan(topology, seed=seed)
        self._setting, self._report, self._instead = setting, report, instead
        self._surface: Surface | None = None
        self.outcomes: list[Outcome] = []

    def topology(self, **changes: Unpack[TopologyFields]) -> None:
        """Change fields of the plan's Topology: `relay=False`, `beat=True`, `env={...}`, ...

        Raises TypeError for a name that is no field, and ValueError for a value that a topology cannot have.
        """
        self.plan = replace(self.plan, topology=replace(self.plan.topology, **changes))

    def workers(self, count: int = 1, **changes: Unpack[WorkersFields]) -> None:
        """Have `count` workers: worker-1, worker-2, ... Other fields of Workers go by name: `pool`, `concurrency`, ...

        Raises TypeError for a name that is no field, and ValueError for a value that workers cannot have.
        """
        self.topology(workers=replace(self.plan.topology.workers, count=count, **changes))

    def services(self, **services: Callable[[], AbstractContextManager[object]]) -> None:
        """What runs beside the subject, such as a service that it calls: made and entered anew for each attempt.

        In the values of an environment `{name}` becomes the text of what was entered, for instance its URL. After the
        trial `outcome.services` has what ran in the attempt that counts.
        """
        self._setting = replace(self._setting, services={**self._setting.services, **services})

    def load(self, *loads: Load, lasting: Duration | None = None) -> None:
        """What clients do; `lasting` ends the loads that have no end of their own."""
        bounded = tuple(load if lasting is None else load.until(lasting) for load in loads)
        self.plan = replace(self.plan, load=(*self.plan.load, *bounded))
        for load in bounded:
            self._check(load)

    def _check(self, load: Load) -> None:
        self._surface = self._surface or surface(self._setting.application, self._setting.root)
        operation = load.operation
        tasks = self._surface.tasks if isinstance(operation, Submit) else None
        routes = self._surface.routes if isinstance(operation, Http) else None
        load.check(tasks, routes, self._surface.takes)

    def inject(
        self, fault: Fault, *, on: str | None = None, when: OnEvent | AtTime, heal: OnEvent | AfterFault | None = None
    ) -> None:
        """A fault on a target: `when` it strikes, and when it heals (default: when the load has ended).

        Without `on` a fault strikes the message at the point that it waits for, and that connection alone.
        """
        if on is None and not (when.place and fault.kind.moments):
            raise ValueError(
                f"{fault} needs a target, on={' or '.join(sorted(fault.kind.targets))}: no point is its own"
            )
        injection = Injection(fault, on or when.data["edge"], when, heal)
        injection.check(self.plan.topology)
        self.plan = replace(self.plan, injections=(*self.plan.injections, injection))

    def promise(self, *promises: Promise) -> None:
        """What must hold. That every fault acted is always promised too."""
        self.plan = replace(self.plan, promises=(*self.plan.promises, *promises))

    def drain(self, within: Duration) -> None:
        """How long the subject may take, after everything has healed, to finish what it accepted (default 30 s)."""
        self.plan = replace(self.plan, drain=seconds(within))

    def run(self) -> Outcome:
        """Carry the plan out. Raises ValueError for a plan that proves nothing; fails when nothing can be started."""
        __tracebackhide__ = True
        if self._instead:  # a capsule of this scenario is run
            self._instead(self._setting)
        try:
            result = run(self.plan.validated(), self._setting)
        except NotLaunched as error:
            import pytest

            pytest.fail("\n".join([str(error), *getattr(error, "__notes__", ())]), pytrace=False)
        self.outcomes.append(Outcome(result, self._report(result)))
        return self.outcomes[-1]

    def unasked(self) -> str:
        """Why a test that ends now would be green by accident; empty when it is not."""
        if not self.outcomes:
            return "the scenario was never run: end it with lab.run().must_hold()"
        if any(not each.asked for each in self.outcomes):
            return "nobody asked what came out of the trial: end it with lab.run().must_hold()"
        return ""


class Outcome:
    """The result of a trial, and the one assertion of a scenario. `text` is what a person reads of it."""

    def __init__(self, result: Result, text: str) -> None:
        self._result, self.text = result, text
        self.asked = False

    @property
    def result(self) -> Result:
        """All that came out, for tests that expect something else than a trial that is valid."""
        self.asked = True
        return self._result

    @property
    def services(self) -> Mapping[str, Any]:
        """What ran beside the subject, by its name, as the attempt that counts left it."""
        return self._result.services

    def must_hold(self) -> None:
        """Fail the test unless every promise is valid: an unknown one fails it too."""
        __tracebackhide__ = True
        if self.result.validity != "valid":
            import pytest

            pytest.fail(self.text, pytrace=False)
