"""Recording: no process disturbs another's line, and nothing is ever raised."""

from __future__ import annotations

import os
from pathlib import Path

from brownout.history.event import Event
from brownout.history.tail import Tail, parse
from brownout.history.view import History
from brownout.probes.recorder import Recorder


def test_forked_processes_share_a_file_and_stamp_their_own_pid(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.ndjson", "worker-1")
    recorder.record("ready")
    children, lines = 4, 200
    pids = set()
    for _ in range(children):
        pid = os.fork()
        if pid == 0:
            for n in range(lines):
                recorder.record("started", task=f"t{n}", filler="x" * 3000)
            os._exit(0)
        pids.add(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    history = History.load(recorder.path)
    assert history.torn == 0
    assert len(history) == 1 + children * lines
    assert {event.pid for event in history.kind("started")} == pids
    assert history.kind("ready")[0].pid == os.getpid()


def test_a_child_whose_descriptors_were_closed_records_all_the_same(tmp_path: Path) -> None:
    """Pools close what they inherited; the number may then be somebody else's file."""
    recorder = Recorder(tmp_path / "history.ndjson", "worker-1")
    recorder.record("ready")
    other = tmp_path / "other"
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 64)
        files = [os.open(other, os.O_CREAT | os.O_WRONLY) for _ in range(20)]
        recorder.record("started", task="t")
        os._exit(len(files) != 20)
    assert os.waitpid(pid, 0)[1] == 0
    assert [event.kind for event in History.load(recorder.path)] == ["ready", "started"]
    assert other.read_bytes() == b""


def test_nothing_is_raised_and_what_is_not_written_is_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "api")  # a directory
    assert recorder.record("stall", ms=60, at=7) == 7
    circle: list[object] = []
    circle.append(circle)
    fine = Recorder(tmp_path / "h", "api")
    fine.record("note", circle=circle)
    fine.record("note", text="\ud800")  # encodes: JSON escapes it
    assert (recorder.dropped, fine.dropped) == (1, 1)
    assert len(History.load(tmp_path / "h")) == 1


def test_it_writes_again_after_close(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "h", "run")
    recorder.record("note")
    recorder.close()
    recorder.close()
    recorder.record("note")
    assert len(History.load(tmp_path / "h")) == 2


def test_a_torn_last_line_is_left_out_and_a_torn_middle_spares_the_next(tmp_path: Path) -> None:
    path = tmp_path / "h"
    lines = [Event(n, "run", "note", data={"n": n}).to_json().encode() for n in range(4)]
    path.write_bytes(lines[0] + b"\n" + lines[1][:20] + lines[2] + b"\n" + lines[3][:-4])
    history = History.load(path)
    assert [event.at for event in history] == [0, 2]
    assert history.torn == 2


def test_a_line_of_rubbish_is_counted() -> None:
    events, torn = parse(b'rubbish\n{"at":1}x\n\xff\xfe\n')
    assert (events, torn) == ([], 3)


def test_a_tail_reads_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "h"
    tail = Tail(path)
    assert tail.poll() == []
    line = Event(1, "run", "note").to_json().encode()
    path.write_bytes(line + b"\n" + line[:9])
    assert [event.at for event in tail.poll()] == [1]
    assert tail.poll() == []
    with path.open("ab") as file:
        file.write(line[9:] + b"\n")
    assert [event.at for event in tail.poll()] == [1]
    assert tail.torn == 0
