"""The documents' mistakes as negative controls: each wrong variant shows its own anomalies, its mend shows none."""

import os
import subprocess
import sys
from functools import partial

import pytest

from brownout import Application, Lab, ledger, must_show
from examples.seeds.catalogue import Mistake
from tests.chaos.seeds_scenes import CATALOGUE, COMMON, SCENES, Scene
from tests.chaos.service import Service

pytestmark = pytest.mark.chaos


#: Those whose scene measures the loop's stalls run alone; one is started by its command lines.
MARKS = {name: [pytest.mark.alone] for name, scene in SCENES.items() if "stalled" in scene.promises}
MARKS["acks_early"] = [pytest.mark.launch("cold")]
MISTAKES = [pytest.param(mistake, id=name, marks=MARKS.get(name, [])) for name, mistake in CATALOGUE.items()]


def module(mistake: Mistake, variant: str) -> str:
    return mistake.wrong if variant == "wrong" else mistake.mended


@pytest.fixture
def application(mistake: Mistake, variant: str) -> Application:
    name = module(mistake, variant)
    urls = {"BROKER_URL": "{broker}", "RESULT_URL": "{backend}", "EFFECTS_FILE": "{files}/effects.ndjson"}
    if SCENES[mistake.name].service:
        urls["SERVICE_URL"] = "{service}"
    reads = mistake.read.path.replace("{key}", "{task}") if mistake.read and "{key}" in mistake.read.path else None
    return Application(
        celery=f"{name}:celery" if mistake.worker else None,
        api=f"{name}:app",
        env={**mistake.env, **urls},
        status=reads,
        effects=ledger("effects.ndjson"),
    )


def results_of(application: Application) -> str:
    """Where an operator clears the results: the database that the application's own configuration names."""
    name = str(application.celery).partition(":")[0]
    code = f"from {name} import celery; print(celery.conf.result_backend)"
    env = {**os.environ, **application.environment(broker="redis://h/0", backend="redis://h/1", files=os.devnull)}
    url = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    return {"redis://h/0": "broker", "redis://h/1": "backend"}[url.strip()]


def test_the_table_is_complete() -> None:
    assert SCENES.keys() == CATALOGUE.keys()
    for name, scene in SCENES.items():
        assert CATALOGUE[name].detector in scene.shows <= (COMMON | scene.promises).keys(), name


@pytest.mark.parametrize("variant", ["wrong", "mended"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_seeds(lab: Lab, application: Application, mistake: Mistake, variant: str) -> None:
    """Load, fault and promises are those of both variants: the wrong one shows its anomalies, the mended one none."""
    scene: Scene = SCENES[mistake.name]
    shown = scene.shows if variant == "wrong" else frozenset()
    if scene.service:
        lab.services(service=partial(Service, failures=1))
    lab.load(*scene.load)
    if scene.fault and scene.when:
        target = results_of(application) if scene.target == "results" else scene.target
        lab.inject(scene.fault, on=target, when=scene.when, heal=scene.heal)
    for kind, promise in (COMMON | scene.promises).items():
        lab.promise(must_show(kind, under=promise) if kind in shown else promise)

    outcome = lab.run()

    outcome.must_hold()
    anomalies = [anomaly for verdict in outcome.result.verdicts for anomaly in verdict.anomalies]
    assert {anomaly.kind for anomaly in anomalies} == shown
    assert all(anomaly.witness for anomaly in anomalies)
    if scene.service:
        assert [first for first, *_ in outcome.services["service"].calls.values()] == [503]
