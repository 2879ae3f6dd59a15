"""What a stall is told to stand on: the application's own frame is among the frames, whatever lies inside it."""

import sys
from collections.abc import Callable
from pathlib import Path

from brownout.probes.loop_watch import describe

Frames = tuple[list[str], str]


def compiled(path: Path, source: str) -> dict[str, Callable[..., Frames]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    names: dict[str, Callable[..., Frames]] = {}
    exec(compile(source, str(path), "exec"), names)
    return names


def test_the_applications_own_frame_is_kept_however_deep_the_library_is(tmp_path: Path) -> None:
    library = compiled(
        tmp_path / "venv" / "site-packages" / "client.py",
        "def read(depth, see):\n    return read(depth - 1, see) if depth else see()\n",
    )
    own = compiled(tmp_path / "shop" / "cart.py", "def buy(read, see):\n    return read(30, see)\n")

    def see() -> Frames:
        return describe(sys._getframe(1), folder=tmp_path)

    shown, culprit = own["buy"](library["read"], see)
    assert culprit == "shop/cart.py:2 buy"
    assert shown[0] == culprit
    assert len(shown) == 12
    assert all(line.startswith("site-packages/client.py") for line in shown[1:])


def test_a_stack_without_a_frame_of_the_application_names_none(tmp_path: Path) -> None:
    shown, culprit = describe(sys._getframe(), folder=tmp_path)
    assert shown
    assert culprit == ""
