"""`python -m tests.soak.sigkill [TIMES] [SEED]`: kill pytest at random moments, and write docs/evidence/sigkill.md."""

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from brownout.subject.cpus import usable_cpus
from brownout.subject.servers import docker_api, ladder
from tests.kit.killable import Kill, killed_at_random

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence" / "sigkill.md"
#: Arguments of pytest, in turn.
WAYS = (
    ("--chaos-provider=local",),
    ("--chaos-provider=local", "-n", "2"),
    ("--chaos-provider=local",),
    ("--chaos-provider=local", "--chaos-wire=toxiproxy"),
    ("--chaos-provider=local",),
    ("--chaos-provider=container",),
)


@contextmanager
def own_image() -> Iterator[str]:
    """A name for the Redis image that only these runs use, so that containers of others are not taken for theirs."""
    image = os.environ.get(ladder.IMAGE_VARIABLE) or ladder.DEFAULT_IMAGE
    own = f"brownout-soak:{os.getpid()}"
    try:
        docker_api.call("POST", f"/images/{image}/tag", repo="brownout-soak", tag=str(os.getpid()))
    except docker_api.DockerError:
        yield ""
        return
    try:
        yield own
    finally:
        docker_api.call("DELETE", f"/images/{own}")


def main(times: int, seed: int) -> int:
    """Answers the exit code: 1 when anything was left."""
    chance, rows = random.Random(seed), []
    with own_image() as image:
        ways = [way for way in WAYS if (image or way[0] != "--chaos-provider=container")
                and (shutil.which("toxiproxy-server") or "--chaos-wire=toxiproxy" not in way)]  # fmt: skip
        for n in range(times):
            way = ways[n % len(ways)]
            env = {ladder.IMAGE_VARIABLE: image} if image else {}
            with tempfile.TemporaryDirectory(prefix="sigkill-", ignore_cleanup_errors=True) as folder:
                kill = killed_at_random(Path(folder) / "project", chance, *way, image=image, **env)
            rows.append((way, kill))
            print(n + 1, *way, kill, flush=True)  # noqa: T201
    EVIDENCE.parent.mkdir(parents=True, exist_ok=True)
    EVIDENCE.write_text(table(rows, seed))
    return int(any(kill.left for _, kill in rows))


def table(rows: Sequence[tuple[tuple[str, ...], Kill]], seed: int) -> str:
    """The evidence as Markdown."""
    left = sum(bool(kill.left) for _, kill in rows)
    phases = ", ".join(f"{phase} {n}" for phase, n in Counter(kill.phase for _, kill in rows).items())
    lines = [
        "# SIGKILL at a random moment",
        "",
        f"`python -m tests.soak.sigkill {len(rows)} {seed}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, "
        f"{usable_cpus()} CPUs, load average {os.getloadavg()[1]:.1f} over five minutes.",
        "",
        f"{len(rows)} runs of pytest were killed; {left} left a process, a container, a listening port or a folder. "
        f"Killed in phase: {phases}.",
        "",
        "Processes (pytest itself is not counted, its xdist workers are), ports and containers are those of just "
        "before the kill.",
        "",
        "| # | pytest with | trial | phase | processes | ports | containers | left |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for n, (way, kill) in enumerate(rows, 1):
        shown = " ".join(way).replace("--chaos-", "")
        had = f"{kill.processes} | {kill.ports} | {kill.containers}"
        lines.append(
            f"| {n} | {shown} | {kill.scenario} | {kill.phase} | {had} | {', '.join(kill.left) or 'nothing'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*[*given, *(50, 1)[len(given) :]]))
