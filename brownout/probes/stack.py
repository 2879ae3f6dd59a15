"""What another thread of this process is doing, without a touch of its frames.

`sys._current_frames` gives frame objects of threads that run on meanwhile. On Python 3.11, to read them may end the
process (SIGSEGV) or stop it for good (python/cpython#106883): the watch would break what it watches. `faulthandler`
writes down the stacks of all threads in one go, while it holds the interpreter's lock and nobody else's frame changes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

_KIT = Path(__file__).parents[1]
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x([0-9a-f]+)\b")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
# faulthandler writes characters outside of ASCII as Python's escapes (_Py_DumpASCII).
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


class Frame(NamedTuple):
    """One call of a stack."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        """As `folder/file:line function`."""
        return "/".join(self.file.split("/")[-2:]) + f":{self.line} {self.function}"


class Stacks:
    """Takes stacks of threads. It keeps a file in memory open (a temporary one where the system has no such files)."""

    def __init__(self) -> None:
        """Raises OSError when there can be no file."""
        self._file: IO[bytes] = _scratch()

    def of(self, thread: int) -> list[Frame]:
        """The innermost 100 frames of a thread (`threading.get_ident`), the outermost first; empty when unknown.

        `faulthandler` writes at most 100 threads, the newest first.
        """
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback(self._file, all_threads=True)
        self._file.seek(0)
        return parse(self._file.read().decode("ascii", "replace"), thread)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def _scratch() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.fdopen(os.memfd_create("brownout-stacks"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def parse(text: str, thread: int) -> list[Frame]:
    """The frames of one thread in what `faulthandler.dump_traceback` writes, the outermost first."""
    found: list[Frame] = []
    inside = False
    for line in text.splitlines():
        if head := _THREAD.match(line):
            inside = int(head[1], 16) == thread
        elif inside and (frame := _FRAME.match(line)):
            file, number, function = frame.groups()
            found.append(Frame(_decoded(file), int(number), _decoded(function)))
    return found[::-1]


def _decoded(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)


def summary(frames: list[Frame], depth: int = 12, folder: Path | None = None) -> tuple[list[str], str]:
    """The innermost `depth` frames as text, outermost first, and the innermost one of the application.

    The application's code lies in `folder` (default: where the process runs) and in no folder of installed packages.
    Its innermost frame is always among the frames, however many of a library lie inside it; "" where there is none.
    """
    root = folder or Path.cwd()
    own = next((f for f in reversed(frames) if _is_own(f.file, root)), None)
    shown = frames[-depth:]
    if own and own not in shown:
        shown = [own, *shown[1:]]
    return [str(f) for f in shown], str(own) if own else ""


def _is_own(file: str, root: Path) -> bool:
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return root in path.parents and _KIT not in path.parents and not installed and not file.startswith("<")
