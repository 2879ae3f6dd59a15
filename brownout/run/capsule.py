"""A capsule is a stored trial with everything that is needed to run the trial again and to compare the two results."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from brownout.history.secrets import Mask, secrets_in
from brownout.history.view import History
from brownout.plan.plan import Plan
from brownout.plan.secrets import Lost, fill, hide
from brownout.probes.configuration import hidden, names_secret, plain
from brownout.run.result import Result
from brownout.run.setting import Setting
from brownout.subject.environment import folder_of, read_env_file

Answer = Literal["reproduced", "fixed", "unknown"]
#: Variables of shells and of git whose names look like those of secrets.
_OF_SHELLS = re.compile(r"(OLD)?PWD|GIT_.*AUTHOR.*|.*AUTHOR_(NAME|EMAIL)")
MISSING = "missing"  # the anomaly that `must_show` reports when an expected anomaly did not appear


class Broken(NamedTuple):
    """A kind of anomaly, and the promise under which it was found."""

    kind: str
    promise: str

    def __str__(self) -> str:
        return f"{self.kind} under {self.promise}"


@dataclass(frozen=True)
class Capsule:
    """The contents of a stored trial's folder.

    `scenario` is the id of the test that ran it, or the name of a map's trial. `application` is "module:attribute" or
    the application's fields as JSON; it is "" when the test gives the application. `broken` are the anomalies that were
    found: those of broken promises first, then those that a `must_show` expected. `seconds` is the trial's duration.
    `lost` are the secrets of the plan and of the application, which are not stored.
    """

    folder: Path
    plan: Plan
    scenario: str
    application: str | Mapping[str, Any]
    broken: tuple[Broken, ...]
    seconds: float = 0.0
    lost: tuple[Lost, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Capsule:
        """Read the capsule in a trial's folder; `path` is the trial's folder, or the file `plan.json` in this folder.
        Raises ValueError, with a message of one line, if `path` is no stored trial."""
        folder = (path.parent if path.name == "plan.json" else path).resolve()
        try:
            text = (folder / "plan.json").read_text()
            results = json.loads((folder / "results.json").read_text())
            about = json.loads(text).get("capsule", {})
            plan = Plan.from_json(text)
            broken = tuple(_broken(results["verdicts"], plan))
            seconds = float(results.get("seconds", 0.0))  # only for an estimate of the remaining time
            lost = tuple(Lost(tuple(place), shown) for place, shown in about.get("left_out", ()))
            return cls(folder, plan, results["scenario"], about.get("application", ""), broken, seconds, lost)
        except FileNotFoundError as error:
            raise ValueError(f"{path} is no stored trial that has ended: there is no {error.filename}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be read as a stored trial: {error}") from error

    def filled(self, value: Callable[[Lost], Any]) -> Capsule:
        """The capsule with `value(lost)` in the place of each value that was not stored."""
        if not self.lost:
            return self
        whole = fill(document(self.plan, self.scenario, self.application), self.lost, value)
        about = whole["capsule"]
        return replace(self, plan=Plan.from_json(json.dumps(whole)), application=about.get("application", ""), lost=())


def _broken(verdicts: Collection[Mapping[str, Any]], plan: Plan) -> Iterator[Broken]:
    # The first verdicts are those on the plan's promises, in the order of the promises. The promises come from the
    # plan, because a plan that was read from JSON writes their arguments in another order.
    promises = dict(enumerate(map(str, plan.promises)))
    found = {
        Broken(anomaly["kind"], promises.get(n, verdict["promise"])): verdict["validity"] != "invalid"
        for n, verdict in enumerate(verdicts)
        for anomaly in verdict["anomalies"]
    }
    return iter(sorted(found, key=lambda broken: found[broken]))


def document(plan: Plan, scenario: str, application: str | Mapping[str, Any]) -> dict[str, Any]:
    """The plan, the scenario and the application as JSON."""
    about = {"scenario": scenario, **({"application": application} if application else {})}
    return {**json.loads(plan.to_json()), "capsule": about}


def secrets_of(setting: Setting) -> set[str]:
    """The secrets in the variables that processes of the application get: its own, those of its env file, and those of
    this process."""
    app, found = setting.application, set[str]()
    files = {folder_of(app, role, setting.root) / app.env_file for role in ("", *app.folders)} if app.env_file else ()
    told = [read_env_file(file) for file in files if file.is_file()]
    own = {name: value for name, value in os.environ.items() if not _OF_SHELLS.fullmatch(name) and value[:1] != "/"}
    for name, value in (pair for env in (own, *told, app.env, *app.part_env.values()) for pair in env.items()):
        if hidden(name, value):
            found.update(secrets_in(value, whole=names_secret(name)))
    return found


def write(
    folder: Path, plan: Plan, scenario: str, application: str | Mapping[str, Any], known: Iterable[str] = ()
) -> tuple[Plan, Mask]:
    """Write `plan.json`: the plan, the scenario and the application, without secrets, and what was left out.

    `known` are further secrets. Returns the plan as it is stored, and what hides its secrets in other texts.
    """
    names = (*plan.topology.targets, *(getattr(load.operation, "task", "") for load in plan.load), "idempotency_key")
    left = hide(document(plan, scenario, application), known, names)
    content, lost = left.content, [[list(one.at), one.text] for one in left.lost]
    if lost:
        stored = Plan.from_json(json.dumps(content))
        same = all(one.at[0] != "promises" for one in left.lost)  # then keep the order of their arguments
        plan = replace(stored, promises=plan.promises) if same else stored
        content = {**content, "capsule": {**content["capsule"], "left_out": lost}}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    (folder / "plan.json").write_text(f"{text}\n")
    return plan, Mask(left.secrets, names)


def answer(result: Result, wanted: Collection[Broken], before: Collection[Broken]) -> tuple[Answer, str]:
    """Return whether one of the wanted anomalies appeared again, and a sentence that proves the answer.

    The answer is "unknown" if no wanted anomaly appears, but another anomaly that is not in `before`.
    """
    found = {
        Broken(anomaly.kind, verdict.promise): anomaly.sentence
        for verdict in result.verdicts
        for anomaly in verdict.anomalies
    }
    for broken in wanted:
        if broken in found:
            return "reproduced", f"{broken}: {found[broken]}"
    for verdict in result.verdicts:
        if verdict.validity == "unknown":
            return "unknown", f"{verdict.promise} could not be judged: {verdict.why}"
    for broken, sentence in found.items():
        if broken not in before and broken.kind != MISSING:
            return "unknown", f"the stored anomaly did not appear, but another anomaly did: {broken}: {sentence}"
    return "fixed", f"no {' and no '.join(map(str, wanted))}"


# --- versions and settings, which may make a difference between two trials


def configuration(history: History, env: Mapping[str, str], places: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings in effect, from the first process of each role that reported its settings, and the
    application's environment.

    Secrets are left out of the result. Addresses and folders of this trial are replaced by the names that `places` has
    for them, such as {broker}.
    """
    told: dict[str, Any] = {}
    for event in history.kind("ready"):
        told.setdefault(event.source.partition("-")[0], event.data.get("conf"))
    longest_first = sorted(filter(None, places), key=len, reverse=True)
    names = {text: f"{{{places[text]}}}" for text in longest_first}
    settings: dict[str, Any] = json.loads(json.dumps(told | {"env": plain("env", env)}))
    return {role: _replaced(values, names) for role, values in settings.items()}


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    """Return `value` with the texts in `names` replaced in every string; the keys of mappings do not change."""
    if isinstance(value, str):
        for text, name in names.items():
            value = value.replace(text, name)
        return value
    if isinstance(value, dict):
        return {key: _replaced(item, names) for key, item in value.items()}
    return [_replaced(item, names) for item in value] if isinstance(value, list) else value


def differences(before: Path, now: Path) -> list[str]:
    """Return the differences between versions, parts and settings of two stored trials, one line each."""
    lines = []
    for file, what in (("env.json", "versions"), ("conf.json", "settings")):
        try:
            then = dict(_flat(json.loads((before / file).read_text())))
        except (OSError, ValueError):
            lines.append(f"the {what} of the stored trial are not known: there is no {file}")
            continue
        new = dict(_flat(json.loads((now / file).read_text())))
        lines += [
            f"{name}: {_told(then, name)} in the stored trial, {_told(new, name)} now"
            for name in sorted(then | new)
            if _sorted(then.get(name)) != _sorted(new.get(name))
        ]
    return lines


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{before}{name}.")
        else:
            yield f"{before}{name}", item


def _sorted(value: Any) -> Any:
    """Return the value with sorted lists, because Celery makes some lists from sets, in no fixed order."""
    return sorted(map(str, value)) if isinstance(value, list) else value


def _told(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name]) if name in values else "nothing"
