"""The systemd units: what systemd says of them, and whether a job ends when their own commands are started."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brownout.subject.ports import free_port
from brownout.subject.waiting import eventually
from tests.integration.running import SLACK, NewSystem, Running

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
PROGRAMS = "/opt/system/.venv/bin"
HERE = Path(sys.executable).parent


def text(unit: str) -> str:
    return (UNITS / f"system-{unit}.service").read_text().replace(PROGRAMS, str(HERE))


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    names = [path.stem.removeprefix("system-") for path in UNITS.glob("*.service")]
    for name in names:
        instance = name.replace("@", "@1")
        (tmp_path / f"system-{instance}.service").write_text(text(name))
    files = sorted(str(path) for path in tmp_path.glob("*.service"))
    run = subprocess.run([program, "verify", "--man=no", *files], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(files) == 5


def start(system: Running, name: str, unit: str, **given: str) -> None:
    """Start a unit's own command with the unit's own environment; `given` is what /etc/system.env would have."""
    places = {"%i": "1", "%H": "here", "/var/lib/system": str(system.folder), "/run/": f"{system.folder}/"}
    lines = text(unit)
    for placeholder, value in places.items():
        lines = lines.replace(placeholder, value)
    (command,) = re.findall(r"^ExecStart=(.*)$", lines, re.M)
    env = dict(line.split("=", 1) for line in re.findall(r"^Environment=(.*)$", lines, re.M)) | given
    if folder := env.get("PROMETHEUS_MULTIPROC_DIR"):
        Path(folder).mkdir()  # RuntimeDirectory=
    filled = re.sub(r"\$\{(\w+)\}", lambda found: env[found[1]], command)
    program, *arguments = shlex.split(filled)
    assert Path(program).parent == HERE
    system.start(name, [Path(program).name, *arguments], **env)


def test_the_commands_of_the_units_run_a_job(new_system: NewSystem) -> None:
    system = new_system("units", tick_seconds=0.5)
    start(system, "api", "api", API_PORT=str(system.port))
    start(system, "relay", "relay", SYSTEM_METRICS_PORT=str(free_port()))
    start(system, "worker-1", "worker@", SYSTEM_METRICS_PORT=str(free_port()))
    start(system, "beat", "beat")
    system.ready("api", "relay", "worker-1")
    assert system.ended(system.submit("/compute", {"n": 5}))["task_result"] == 5
    eventually(
        lambda: system.rows("select 1 from effects where name = 'system.tick'") != [],
        within=2 * SLACK,
        every=0.1,
        what="a periodic task is done",
        evidence=system.process("beat").tail,
    )
