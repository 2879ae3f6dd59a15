"""The wheel, as somebody gets it who installs it: built, installed into a new environment, and used there."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.kit.small_project import ROOT, write
from tests.kit.toxiproxy_servers import missing

SCENARIO = """
def test_a_killed_worker_loses_nothing(lab):
    lab.load(submit("small.work", every="50ms", count=3))
    lab.inject(kill(), on="worker-1", when=started())
    lab.promise(at_least_once())
    lab.run().must_hold()
"""


def output(*command: str | Path, folder: Path) -> str:
    """What a command writes, in an environment that does not lead to this checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PYTHON", "BROWNOUT"))}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert not ran.returncode, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel. Without hatchling here pip fetches it; where it cannot, the test is skipped."""
    folder = tmp_path_factory.mktemp("dist")
    here = find_spec("hatchling") is not None
    more = ["--no-build-isolation"] if here else ["--retries=0", "--timeout=15"]
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", *more, "-w", str(folder), str(ROOT)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode and not here and "No matching distribution found for hatchling" in ran.stderr:
        missing("pip", "pip cannot fetch hatchling, which builds the wheel")
    assert not ran.returncode, ran.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a new environment: the wheel, and this environment's libraries without the kit that is in it."""
    environment = tmp_path_factory.mktemp("new")
    output(sys.executable, "-m", "venv", "--without-pip", environment, folder=environment)
    scripts = environment / "bin"
    install = (sys.executable, "-m", "pip", "--python", scripts / "python", "install", "--no-deps", "--no-index")
    output(*install, wheel, folder=environment)
    libraries = environment / "libraries"
    libraries.mkdir()
    for kind in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for library in Path(kind).iterdir():
            if not library.name.startswith("brownout") and library.suffix != ".pth":
                (libraries / library.name).symlink_to(library)
    site = sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)})
    (Path(site) / "libraries.pth").write_text(f"{libraries}\n")
    return scripts


def test_it_has_the_whole_kit_and_nothing_else(wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "brownout").rglob("*") if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {name for name in files if not name.endswith(".pyc")}
    assert "brownout/py.typed" in packed


def test_the_command_line_answers(scripts: Path, tmp_path: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert output(scripts / "brownout", "--version", folder=tmp_path).strip().split() == ["brownout", version]
    assert "map" in output(scripts / "brownout", "--help", folder=tmp_path)


def test_it_is_imported_with_its_types(scripts: Path, tmp_path: Path) -> None:
    code = (
        "import brownout, pathlib; from brownout import Lab, kill, at_least_once\n"
        "folder = pathlib.Path(brownout.__file__).parent; print(folder); assert (folder / 'py.typed').exists()"
    )
    folder = Path(output(scripts / "python", "-c", code, folder=tmp_path).strip())
    assert folder.is_relative_to(scripts.parent.resolve())


def test_pytest_finds_the_plugin_and_collects_a_scenario(scripts: Path, tmp_path: Path) -> None:
    write(tmp_path, SCENARIO)
    pytest_ = (scripts / "python", "-m", "pytest", "-p", "no:cacheprovider")
    said = output(*pytest_, "--collect-only", "-q", "--chaos-seed=7", "test_small.py", folder=tmp_path)
    assert "test_small.py::test_a_killed_worker_loses_nothing" in said.splitlines()
    assert "lab -- " in output(*pytest_, "--fixtures", "test_small.py", folder=tmp_path)
