"""The fixture `lab` of a scenario: its methods build a plan, and `run()` carries the plan out."""

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
from brownout.plan.topology import Topology, TopologyFields, WorkersFields
from brownout.plan.trigger import AfterFault, AtTime, OnEvent
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.run.trial import run
from brownout.subject.application import Surface, Unusable, surface

#: Returns the text that a person reads about a result.
Report = Callable[[Result], str]


class Lab:
    """Builds and runs the plan of one scenario. Describe the subject (the system under test) first, then its load,
    faults and promises; then call `run()`.

    When a method gets a misspelt task, route, target or event, it raises UnknownName with similar names. If the
    function `instead` is given, `run` does not run the trial but calls `instead` with the trial's setting; `instead`
    does not return.
    """

    def __init__(
        self, setting: Setting, seed: int, report: Report, instead: Callable[[Setting], None] | None = None
    ) -> None:
        application = setting.application
        topology = Topology(
            application.workers(1 if application.celery else 0),
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
        """Use `count` workers, which are named worker-1, worker-2, ... Other fields of the class Workers are keyword
        arguments: `pool`, `concurrency`, ...

        Raises TypeError for a name that is no field, and ValueError for a value that workers cannot have.
        """
        self.topology(workers=replace(self.plan.topology.workers, count=count, **changes))

    def services(self, **services: Callable[[], AbstractContextManager[object]]) -> None:
        """Add services beside the subject, such as an HTTP server that it calls. For each attempt of the trial the
        services are created and entered again.

        In the values of environment variables, `{name}` is replaced by the text of the service with this name, for
        instance its URL. A trial may need several attempts; afterwards `outcome.services` has the services of the last
        attempt.
        """
        self._setting = replace(self._setting, services={**self._setting.services, **services})

    def load(self, *loads: Load, lasting: Duration | None = None) -> None:
        """Add workload: what the clients send. A load that has no end of its own ends after `lasting` seconds."""
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
        """Add a fault on a target. The fault begins at `when` and heals at `heal` (by default when the load has ended).

        If no target `on` is given, the fault strikes only one message, at the point `when`, or the connection of this
        message.
        """
        if on is None and not (when.place and fault.kind.moments):
            raise ValueError(
                f"{fault} needs a target, on={' or '.join(sorted(fault.kind.targets))}: it strikes no message"
            )
        injection = Injection(fault, on or when.data["edge"], when, heal)
        injection.check(self.plan.topology)
        self.plan = replace(self.plan, injections=(*self.plan.injections, injection))

    def promise(self, *promises: Promise) -> None:
        """Add promises that must hold. Every scenario also promises that each fault had an effect on the subject."""
        self.plan = replace(self.plan, promises=(*self.plan.promises, *promises))

    def drain(self, within: Duration) -> None:
        """Set how long the subject may take to finish the accepted work after all faults have healed (default 30 s)."""
        self.plan = replace(self.plan, drain=seconds(within))

    def run(self) -> Outcome:
        """Run the scenario: start the subject, send the load, cause the faults, and check the promises. Raises
        ValueError for a plan that cannot prove anything. The test fails when the system under test cannot be
        started."""
        __tracebackhide__ = True
        if self._instead:  # `brownout replay` or `brownout shrink` runs this test
            self._instead(replace(self._setting, plan=self.plan))
        try:
            result = run(self.plan.validated(), self._setting)
        except Unusable as error:
            import pytest

            pytest.fail("\n".join([str(error), *getattr(error, "__notes__", ())]), pytrace=False)
        self.outcomes.append(Outcome(result, self._report(result)))
        return self.outcomes[-1]

    def unasked(self) -> str:
        """Return the reason why the test has not checked a trial; "" when the test has checked a trial."""
        if not self.outcomes:
            return "the scenario was never run: end it with lab.run().must_hold()"
        if any(not outcome.asked for outcome in self.outcomes):
            return "the scenario never checked the outcome of its trial: end it with lab.run().must_hold()"
        return ""


class Outcome:
    """The result of a trial, with the assertion for a scenario. `text` is the report for a person."""

    def __init__(self, result: Result, text: str) -> None:
        self._result, self.text = result, text
        self.asked = False

    @property
    def result(self) -> Result:
        """The result of the trial, for a test that expects another verdict than "valid"."""
        self.asked = True
        return self._result

    @property
    def services(self) -> Mapping[str, Any]:
        """The services that ran beside the subject in the last attempt of the trial, by name."""
        return self._result.services

    def must_hold(self) -> None:
        """Fail the test unless the verdict on every promise is "valid"; the verdict "unknown" fails the test, too."""
        __tracebackhide__ = True
        if self.result.validity != "valid":
            import pytest

            pytest.fail(self.text, pytrace=False)
