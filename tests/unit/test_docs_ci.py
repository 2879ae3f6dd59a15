"""The files of `docs/ci.md` are what the CI systems read; their commands are typed in `test_cli_parsers.py`."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from brownout.pytest_options import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text()
FILES = dict(re.findall(r"^`([^`\n]+)`[^\n]*\n(?:[^\n`]+\n)*\n```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
WORKFLOW, GITLAB, JENKINS = ".github/workflows/chaos.yml", ".gitlab-ci.yml", "Jenkinsfile"


def test_the_page_has_a_file_for_each_system() -> None:
    assert set(FILES) == {WORKFLOW, GITLAB, JENKINS}


def shards(text: str) -> list[str]:
    """How many shards each command of a file says that there are."""
    return re.findall(r"(?:--chaos-shard=|--shard )\S+(?: matrix\.shard \}\})?/(\S+)", text)


REQUIRED = {"BROWNOUT_REQUIRE": "redis-server"}


def merge_of(text: str) -> tuple[str, str]:
    """The parts that the file's `brownout merge` joins, and the file in which it stores the map."""
    ((found, saved),) = re.findall(r"brownout merge (\S+) --save (\S+) --baseline", text)
    return found, saved


def junit_of(text: str) -> str:
    """The file that pytest writes."""
    (found,) = re.findall(r"--junitxml=(\S+)", text)
    return str(found)


# --- GitHub


@pytest.mark.parametrize(
    ("before", "after", "finds"),
    [("", "", ""), ("runs-on", "run-on", '"runs-on" section is missing'), ("matrix.shard", "matrix.shrad", "shrad")],
    ids=["as it is", "a key", "an expression"],
)
def test_actionlint_reads_the_workflow(tmp_path: Path, before: str, after: str, finds: str) -> None:
    """With actionlint named in BROWNOUT_REQUIRE, the plugin makes an error of its absence."""
    if not (program := shutil.which("actionlint")):
        pytest.skip("actionlint is not on PATH: `bash .ci/actionlint` builds it")
    path = tmp_path / WORKFLOW
    path.parent.mkdir(parents=True)
    path.write_text(FILES[WORKFLOW].replace(before, after))
    done = subprocess.run([program, "-no-color", str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode != 0, finds in done.stdout) == (bool(finds), True), done.stdout + done.stderr


def test_the_workflow_has_all_its_shards_and_keeps_what_a_red_job_left() -> None:
    jobs: dict[str, Any] = yaml.safe_load(FILES[WORKFLOW])["jobs"]
    for name in ("suite", "map"):
        assert jobs[name]["strategy"]["matrix"]["shard"] == [1, 2, 3, 4]
    assert shards(FILES[WORKFLOW]) == ["4", "4"]
    uploads = [step for job in jobs.values() for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert len(uploads) == 3
    assert {step["if"] for step in uploads} == {"${{ !cancelled() }}"}
    names = [step["with"]["name"] for step in uploads]
    (download,) = [step for step in jobs["whole-map"]["steps"] if "download-artifact" in step.get("uses", "")]
    assert [name for name in names if re.fullmatch(download["with"]["pattern"].replace("*", ".*"), name)] == [names[1]]


def test_the_parts_of_the_map_reach_the_job_that_joins_them_also_when_a_shard_is_red() -> None:
    file: dict[str, Any] = yaml.safe_load(FILES[WORKFLOW])
    assert file["env"] == REQUIRED
    suite, map_, whole = (file["jobs"][name] for name in ("suite", "map", "whole-map"))
    assert suite["strategy"]["fail-fast"] is map_["strategy"]["fail-fast"] is False
    assert (whole["needs"], whole["if"]) == ("map", "${{ !cancelled() }}")
    kept = {job["steps"][-1]["with"]["path"] for job in (map_, whole)}
    (place,) = [step["with"]["path"] for step in whole["steps"] if "download-artifact" in step.get("uses", "")]
    # An artefact holds what lies in the folder that is uploaded, and is unpacked into a folder of its own name.
    (found, saved), count = merge_of(FILES[WORKFLOW]), len(map_["strategy"]["matrix"]["shard"])
    assert found == f"{place}/*/maps/*-of-{count}.json"
    assert kept == {"store/", saved}
    assert suite["steps"][-1]["with"]["path"].split() == ["store/", junit_of(FILES[WORKFLOW])]


# --- GitLab


def test_gitlabs_jobs_have_stages_scripts_and_shards() -> None:
    file: dict[str, Any] = yaml.safe_load(FILES[GITLAB])
    jobs = {name: job for name, job in file.items() if name not in ("stages", "default", "variables")}
    assert set(jobs) == {"suite", "map", "whole-map"}
    for job in jobs.values():
        assert job["stage"] in file["stages"]
        assert all(isinstance(line, str) for line in job["script"])
        assert job["artifacts"]["when"] == "always"
        assert {*job.get("needs", ())} <= {*jobs}
    assert shards(FILES[GITLAB]) == ["$CI_NODE_TOTAL"] * 2
    count = jobs["map"]["parallel"]
    assert f"*-of-{count}.json" in jobs["whole-map"]["script"][0]


def test_gitlab_keeps_what_a_red_job_left_and_joins_the_parts() -> None:
    file: dict[str, Any] = yaml.safe_load(FILES[GITLAB])
    suite, map_, whole = (file[name] for name in ("suite", "map", "whole-map"))
    assert file["variables"] == REQUIRED
    assert suite["parallel"] == map_["parallel"]
    assert FILES[GITLAB].count("$CI_NODE_INDEX/$CI_NODE_TOTAL") == 2
    assert (whole["needs"], whole["when"]) == (["map"], "always")
    found, saved = merge_of(FILES[GITLAB])
    assert found == f"store/maps/*-of-{map_['parallel']}.json"
    assert [job["artifacts"]["paths"] for job in (suite, map_, whole)] == [["store/"], ["store/"], [saved]]
    assert suite["artifacts"]["reports"] == {"junit": junit_of(FILES[GITLAB])}


# --- Jenkins


def blocks(text: str) -> list[tuple[str, ...]]:
    """The blocks of a declarative pipeline, each as its names from the outermost one; ValueError for open braces."""
    text = re.sub(r"'''.*?'''|'[^'\n]*'|\"[^\"\n]*\"", lambda found: found[0].replace("{", "").replace("}", ""), text,
                  flags=re.DOTALL)  # fmt: skip
    text = re.sub(r"//.*", "", text)
    open_: list[str] = []
    found = []
    for head, brace in re.findall(r"([^{}\n]*)([{}])", text):
        if brace == "{":
            open_.append(" ".join(head.split()))
            found.append(tuple(open_))
        elif not open_:
            raise ValueError("a brace is closed that was not opened")
        else:
            open_.pop()
    if open_:
        raise ValueError(f"{open_[-1]} is not closed")
    return found


def test_the_jenkinsfile_is_a_declarative_pipeline() -> None:
    found = blocks(FILES[JENKINS])
    matrix = ("pipeline", "stages", "stage('chaos')", "matrix")
    assert {("pipeline",), matrix, (*matrix, "axes", "axis"), (*matrix, "post", "always")} <= {*found}
    stages = [names[-1] for names in found if names[:-1] == (*matrix, "stages")]
    assert stages == ["stage('install')", "stage('suite')", "stage('map')"]
    assert all((*matrix, "stages", stage, "steps") in found for stage in stages)
    values = re.findall(r"values (.*)", FILES[JENKINS])[0]
    assert re.findall(r"'(\d)'", values) == ["1", "2", "3", "4"]
    assert re.findall(r"unstash 'map-(\d)'", FILES[JENKINS]) == ["1", "2", "3", "4"]
    assert shards(FILES[JENKINS]) == ["4", "4"]


def test_the_jenkinsfile_keeps_what_a_red_stage_left_and_joins_the_parts() -> None:
    text = FILES[JENKINS]
    count = len(re.findall(r"unstash", text))
    assert text.count(f"shard=$SHARD/{count}") + text.count(f"--shard $SHARD/{count}") == 2
    assert re.findall(r"BROWNOUT_REQUIRE = '(.*)'", text) == [*REQUIRED.values()]
    found, saved = merge_of(text)
    assert found == f"store/maps/*-of-{count}.json"
    assert f"stash name: \"map-${{SHARD}}\", includes: '{found}', allowEmpty: true" in text
    assert f"junit testResults: '{junit_of(text)}', allowEmptyResults: true" in text
    assert re.findall(r"artifacts: '(.*?)'", text) == ["store/**", saved]
    red = [names for names in blocks(text) if names[-1].startswith("catchError(buildResult")]
    assert [names[-3] for names in red] == ["stage('suite')"], "a red suite does not keep the map from being made"


@pytest.mark.parametrize("brace", ["{", "}"])
def test_a_jenkinsfile_with_a_brace_too_many_is_refused(brace: str) -> None:
    with pytest.raises(ValueError, match="closed"):
        blocks(f"{FILES[JENKINS]}\n{brace}")


# --- all


def test_the_options_of_pytest_are_those_of_the_plugin() -> None:
    assert {*re.findall(r"--chaos-([a-z]+)", PAGE)} == {"shard"} <= {*OPTIONS}
