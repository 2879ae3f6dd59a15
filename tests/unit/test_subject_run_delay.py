"""What the kernel tells of the time that threads waited for a CPU."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from brownout.probes.loop_watch import only_looks
from brownout.subject.processes.table import family
from brownout.subject.run_delay import RunDelay

linux = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not tell run delays")


def contend(seconds: float) -> None:
    """Make the threads of this process wait for a CPU: more of them want one than there are."""
    until = time.monotonic() + seconds
    argv = [sys.executable, "-c", f"import time\nwhile time.monotonic() < {until}: pass"]
    others = [subprocess.Popen(argv) for _ in range(2 * (os.cpu_count() or 1))]
    while time.monotonic() < until:
        pass
    for other in others:
        other.wait()


def delay_of(thread: int) -> int:
    """How long (ns) a thread of this process has waited for a CPU."""
    return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1])


@linux
def test_only_what_was_waited_since_the_last_call_counts() -> None:
    delay = RunDelay()
    assert delay.take([os.getpid()]) == {os.getpid(): 0}
    contend(0.5)
    waited = delay.take([os.getpid()])[os.getpid()]
    assert waited > 20_000_000
    assert 20_000_000 < delay.longest <= waited
    assert delay.take([os.getpid()])[os.getpid()] < waited / 2


@linux
def test_the_main_thread_alone_is_a_choice() -> None:
    every, main = RunDelay(), RunDelay(threads=False)
    every.take([os.getpid()])
    main.take([os.getpid()])
    waited = []

    def work() -> None:
        contend(0.5)
        waited.extend([main.take([os.getpid()]), every.take([os.getpid()])])  # a thread that has ended is not seen

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    least, most = (wait[os.getpid()] for wait in waited)
    assert least < most


@linux
def test_a_thread_that_only_looks_does_not_count() -> None:
    """The kit's own threads wake a hundred times a second: they would make a quiet subject look starved.

    The other threads of this process may wait for a CPU meanwhile: a little, compared with the one that wants one.
    """
    every, first = RunDelay(), RunDelay(first_only_looks=os.getpid())
    every.take([os.getpid()])
    first.take([os.getpid()])
    waited = []

    def look() -> None:
        only_looks()
        before = delay_of(threading.get_native_id())
        contend(0.5)
        waited.append((every.take([os.getpid()])[os.getpid()], delay_of(threading.get_native_id()) - before))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    told, own = waited[0]
    assert own > 20_000_000
    assert told < own / 2
    contend(0.5)
    waits = every.take([os.getpid()])[os.getpid()]
    assert waits > 20_000_000
    assert first.take([os.getpid()])[os.getpid()] < waits / 2


def test_a_process_that_has_ended_is_left_out() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert RunDelay().take([ended.pid]) == {}
    assert family(ended.pid) == [ended.pid]


@linux
def test_a_family_is_a_process_and_all_below_it() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'], stdin=0)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        give_up = time.monotonic() + 20
        while len(family(parent.pid)) < 2 and time.monotonic() < give_up:
            time.sleep(0.01)
        assert len(family(parent.pid)) == 2
        parent.communicate(b"\n")
