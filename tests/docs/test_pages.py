"""The pages that a reader types from: each command prints what the page shows."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

import pytest
from sybil.example import SybilFailure

from tests.docs.session import Page, Session
from tests.kit.leftovers import MARK, traces

ROOT = Path(__file__).parents[2]


@pytest.fixture
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A shell as a reader has it; `brownout` of this environment is on PATH until the page installs its own."""
    folder = tmp_path_factory.mktemp("d")  # short: the name of a unix socket has at most 107 characters
    left_out = ("PYTEST", "VIRTUAL_ENV", "TOX", "COVERAGE", "BROWNOUT", "CI", "GITHUB_", "FORCE_COLOR")
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    path = os.pathsep.join([sysconfig.get_path("scripts"), env["PATH"]])
    return Session(folder, env | {"PATH": path, "COLUMNS": "110", "BROWNOUT": str(ROOT), MARK: str(folder)})


@pytest.mark.parametrize(("page", "least"), [("tutorial", 10), ("guarantees", 10)])
def test_a_page_prints_what_it_shows(page: str, least: int, session: Session) -> None:
    steps = Page(ROOT / "docs" / f"{page}.md")
    steps.run(session)
    assert steps.commands >= least
    assert traces(session.folder).processes == {}


# --- the runner itself


def run(text: str, session: Session) -> Page:
    path = session.folder / "page.md"
    path.write_text(text)
    steps = Page(path)
    steps.run(session)
    return steps


def test_files_variables_folders_and_exit_codes_are_those_of_the_reader(session: Session) -> None:
    page = """
<!-- file: a/b.py -->
```python
print("b is run")
```

```python
raise SystemExit("only to be read")
```

```console
$ cd a && NAME="x y"
$ python3 b.py; echo "$NAME" in $(basename $PWD)
b is ...
x y in a
$ false
$ echo $?
1
```
"""
    assert run(page, session).commands == 4


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("$ echo one; echo two\none", r"page.md, line 1, (?s:.)*\$ echo one; echo two(?s:.)*\+ two"),
        ("$ echo one\none\ntwo", r"- two"),
        ("$ echo why >&2; echo one\ntwo", r"On standard error:\nwhy"),
        ("$ true\n$ echo\nno", r"- no"),
    ],
    ids=["more", "less", "another", "the second command"],
)
def test_an_output_that_is_not_the_one_shown_is_found(block: str, why: str, session: Session) -> None:
    with pytest.raises(SybilFailure, match=why):
        run(f"```console\n{block}\n```\n", session)


def test_a_block_without_a_prompt_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="begins with `\\$ `"):
        run("```console\necho one\n```\n", session)


def test_the_python_of_the_shell_is_this_environments(session: Session) -> None:
    assert session.output("python3 -c 'import sys; print(sys.prefix)'").strip() == sys.prefix
