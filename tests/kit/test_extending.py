"""A project has a fault and a promise of its own: the examples of docs/extending.md, as they stand there."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kit.killable import Killable, pytest_run
from tests.kit.small_project import ROOT

EXAMPLES = re.findall(
    r"<!-- file: (\S+) -->\n```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL
)

HOLES = """
from conftest import bodies_end, small_evict


@pytest.fixture
def bench(lab):
    lab.topology(servers=0)
    lab.workers(1, pool="solo")
    lab.load(submit("small.work", lasting=0.5, every="100ms", count=2))
    return lab


def test_too_long(bench):
    bench.promise(bodies_end(within="200ms"))
    bench.run().must_hold()


def test_written_down(bench):
    bench.promise(must_show("overlong", under=bodies_end(within="200ms")))
    bench.run().must_hold()


def test_nothing_evicted(bench):
    bench.inject(small_evict("nobody:*"), on="broker", when=started())
    bench.promise(at_least_once())
    bench.run().must_hold()


def test_misused(bench):
    with pytest.raises(ValueError, match="small_evict cannot strike 'worker-1'; its targets are: broker"):
        bench.inject(small_evict(), on="worker-1", when=started())
    with pytest.raises(TypeError, match="bodies_end.. got an unexpected keyword argument 'wihtin'"):
        bodies_end(wihtin="1s")
    with pytest.raises(ValueError, match="no anomaly of bodies_end is called 'lost'"):
        must_show("lost", under=bodies_end())
    bench.promise(bodies_end())
    bench.run().must_hold()
"""


@contextmanager
def project(folder: Path, *arguments: str, scenarios: str = "") -> Iterator[Killable]:
    """Let pytest run on the small project with the document's files."""
    folder.mkdir()
    conftest = "\n\n".join(text for name, text in EXAMPLES if name == "conftest.py")
    for name, text in EXAMPLES:
        if name != "conftest.py":
            (folder / name).write_text(text)
    with pytest_run(folder, *arguments, scenarios=scenarios, conftest=conftest) as run:
        yield run


def test_the_examples_hold_as_they_stand_in_the_document(tmp_path: Path) -> None:
    assert sorted({name for name, _ in EXAMPLES}) == ["conftest.py", "test_laws.py", "test_own.py"]
    with project(tmp_path / "project", "test_own.py", "test_laws.py") as run:
        code = run.popen.wait(90)
    assert code == pytest.ExitCode.OK, run.output
    assert "3 passed" in run.output
    (place,) = run.folder.glob("store/test*/2*")
    plan = json.loads((place / "plan.json").read_text())
    assert plan["injections"][0]["fault"] == {"is": "Fault", "name": "small_evict", "args": {"pattern": "unacked*"}}
    assert {"is": "Promise", "name": "bodies_end", "args": {"within": 10.0}} in plan["promises"]
    history = (place / "history.ndjson").read_text()
    assert "keys evicted" in history
    for event in map(json.loads, history.splitlines()):
        names = documented(event.get("source", "effects"), event.get("kind", "effect"))
        assert names <= set(event.get("data") or event), event


def documented(source: str, kind: str) -> set[str]:
    """What docs/promises.md says that each event of this kind has in its `data`."""
    text = (ROOT / "docs" / "promises.md").read_text()
    rows = [line.split(" | ") for line in text[text.index("| source | kinds | `data`") :].splitlines()[2:]]
    always = [
        row[2] for row in rows if source.split("-")[0] in row[0].strip("| ").split(", ") and kind in row[1].split(", ")
    ]
    return set(re.findall("`(\\w+)`", " ".join(always)))


def test_what_a_project_adds_is_judged_as_the_kit_s_own(tmp_path: Path) -> None:
    with project(tmp_path / "project", "test_small.py", scenarios=HOLES) as run:
        code = run.popen.wait(90)
    assert code == pytest.ExitCode.TESTS_FAILED, run.output
    assert "2 failed, 2 passed" in run.output
    assert "✗ test_too_long  invalid · overlong ×3" in run.output
    assert "ran for 0.5" in run.output
    assert "bodies_end(within=0.2)" in run.output
    assert "small_evict(pattern='nobody:*') on broker was never seen to act" in run.output
