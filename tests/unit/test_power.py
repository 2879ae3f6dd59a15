"""The table of what goes red without each mechanism: it names what is there, and leaves no setting of Celery's out."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.power import PAGE, ROOT, Mutant, _run, mutants, page
from system.celery_app import configuration
from system.settings import Settings

ROWS = mutants()


@pytest.mark.parametrize("mutant", ROWS, ids=[row.name for row in ROWS])
def test_what_is_taken_out_is_there_and_so_is_what_notices_it(mutant: Mutant) -> None:
    assert (ROOT / mutant.file).read_text().count(mutant.old) == 1
    assert mutant.file.startswith("system/")
    assert mutant.old != mutant.new
    assert mutant.shows
    if mutant.layer != "map":
        path, name = mutant.run.split("::")
        function = name.partition("[")[0]
        assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE), mutant.run


def test_each_mechanism_has_a_name_and_an_edit_of_its_own() -> None:
    assert len({row.name for row in ROWS}) == len({row.mechanism for row in ROWS}) == len(ROWS)
    assert len({(row.file, row.old, row.new) for row in ROWS}) == len(ROWS)


def test_most_are_noticed_by_what_does_not_know_the_code() -> None:
    assert 4 * sum(row.layer != "unit" for row in ROWS) >= 3 * len(ROWS)


def test_no_setting_of_celery_is_left_out(config: Settings) -> None:
    taken = "".join(row.old for row in ROWS if row.file == "system/celery_app.py")
    whole = configuration(config)
    names = [*whole, *whole["broker_transport_options"]]
    left = {name for name in names if f'"{name}"' not in taken}
    assert left == {"broker_url", "result_backend", "broker_transport_options"}, "addresses, and what holds others"


def test_an_edit_is_one_place(tmp_path: Path) -> None:
    mutant = Mutant("name", "mechanism", "a.py", "x = 1\ny = 2\n", "x = 1\n", "map a", ("lost",))
    assert mutant.edit == ("y = 2", "")
    (tmp_path / "a.py").write_text("x = 1\ny = 2\n")
    mutant.apply(tmp_path)
    assert (tmp_path / "a.py").read_text() == "x = 1\n"
    with pytest.raises(ValueError, match="occurs 0 times"):
        mutant.apply(tmp_path)


def test_the_page_is_that_of_the_table() -> None:
    assert PAGE.read_text() == page(ROWS)


def test_an_interrupted_run_leaves_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[subprocess.Popen[str]] = []

    def interrupted(process: subprocess.Popen[str], **_: float) -> None:
        begun.append(process)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            _run([sys.executable, "-c", "import signal; signal.pause()"], tmp_path, {})
        assert begun[0].wait(10) == -signal.SIGKILL
    finally:
        begun[0].kill()
