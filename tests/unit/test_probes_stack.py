"""Stacks of threads, and what of them is shown: the application's own frame, whatever lies inside it."""

import faulthandler
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from brownout.probes.stack import Frame, Stacks, parse, summary

See = Callable[[], list[Frame]]


def compiled(path: Path, source: str) -> dict[str, Callable[..., list[Frame]]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    names: dict[str, Callable[..., list[Frame]]] = {}
    exec(compile(source, str(path), "exec"), names)
    return names


def in_a_thread(call: Callable[[], list[Frame]]) -> list[Frame]:
    """Call it where no frame of the test runner is."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def own_stack() -> list[Frame]:
    stacks = Stacks()
    try:
        return stacks.of(threading.get_ident())[:-1]  # without its own frame
    finally:
        stacks.close()


def test_the_applications_own_frame_is_kept_however_deep_the_library_is(tmp_path: Path) -> None:
    library = compiled(
        tmp_path / "venv" / "site-packages" / "client.py",
        "def read(depth, see):\n    return read(depth - 1, see) if depth else see()\n",
    )
    own = compiled(tmp_path / "shop" / "cart.py", "def buy(read, see):\n    return read(30, see)\n")
    frames = in_a_thread(lambda: own["buy"](library["read"], own_stack))
    shown, culprit = summary(frames[:-1], folder=tmp_path)  # without own_stack's
    assert culprit == "shop/cart.py:2 buy"
    assert shown[0] == culprit
    assert len(shown) == 12
    assert all(line.startswith("client.py:") for line in shown[1:])


def test_a_stack_without_a_frame_of_the_application_names_none(tmp_path: Path) -> None:
    shown, culprit = summary(in_a_thread(own_stack), folder=tmp_path)
    assert shown
    assert culprit == ""


def test_frames_of_a_thread_that_runs_are_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched() -> None:
        raise AssertionError("on Python 3.11 this may end the process")

    monkeypatch.setattr(sys, "_current_frames", touched)
    begun, over = threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        over.wait(30)

    thread = threading.Thread(target=waits)
    thread.start()
    assert begun.wait(30)
    stacks = Stacks()
    try:
        assert thread.ident is not None
        for _ in range(2):  # the second one holds nothing of the first
            frames = stacks.of(thread.ident)
            assert [f.function for f in frames].count("waits") == 1
            assert frames[-1].file == threading.__file__
        assert stacks.of(1) == []
    finally:
        stacks.close()
        over.set()
        thread.join()


def test_files_and_functions_outside_of_ascii_are_read_as_they_are(tmp_path: Path) -> None:
    own = compiled(tmp_path / "Café ☕ 𝄞" / "größe.py", "def messen(see):\n    return see()\n")
    found = in_a_thread(lambda: own["messen"](own_stack))
    assert Frame(str(tmp_path / "Café ☕ 𝄞" / "größe.py"), 2, "messen") in found


def test_without_files_in_memory_a_temporary_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.memfd_create")
    assert own_stack()[-1].function == "own_stack"


def test_the_stacks_of_other_threads_are_left_out() -> None:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        text = file.read().decode()
    here = parse(text, threading.get_ident())
    assert here[-1].function == "test_the_stacks_of_other_threads_are_left_out"
    text += (
        f'\nThread 0x{threading.get_ident() + 1:016x} [other] (most recent call first):\n  File "x.py", line 1 in f\n'
    )
    assert parse(text, threading.get_ident()) == here
    assert parse(text, threading.get_ident() + 1) == [Frame("x.py", 1, "f")]


def test_a_shorter_stack_holds_nothing_of_the_longer_one_before_it() -> None:
    used, fresh, me = Stacks(), Stacks(), threading.get_ident()

    def deep(calls: int) -> list[Frame]:
        return deep(calls - 1) if calls else used.of(me)

    try:
        assert [f.function for f in deep(20)].count("deep") == 21
        again, only = (stacks.of(me) for stacks in (used, fresh))
        assert again == only
    finally:
        used.close()
        fresh.close()


def test_a_frame_of_a_package_begins_with_the_package() -> None:
    """`socket.py` of redis's own parsers says that the client is not the asynchronous one."""
    library = Frame("/venv/lib/python3.11/site-packages/redis/_parsers/socket.py", 64, "read")
    assert str(library) == "redis/_parsers/socket.py:64 read"
    assert str(Frame("/srv/shop/app/mail.py", 7, "send")) == "app/mail.py:7 send"
    assert str(Frame("/usr/lib/python3.11/asyncio/events.py", 84, "_run")) == "asyncio/events.py:84 _run"
