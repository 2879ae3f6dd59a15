"""Takes the stack of another thread without reading its frame objects.

`sys._current_frames` returns the frame objects of threads while these threads go on running. On Python 3.11, reading
these objects may end the process (SIGSEGV) or freeze it for ever (python/cpython#106883). `faulthandler` instead writes
the stacks of all threads as text while it holds the interpreter's lock, so that no frame changes.
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
_INSTALLED = re.compile("/(?:site|dist)-packages/")
# faulthandler writes characters outside of ASCII as Python's escapes (_Py_DumpASCII).
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})")


class Frame(NamedTuple):
    """One frame of a thread's stack: a function call."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        """The text of a call, as `folder/file:line function`; an installed file begins with its package."""
        inside = _INSTALLED.split(self.file)
        place = inside[-1] if len(inside) > 1 else "/".join(self.file.split("/")[-2:])
        return f"{place}:{self.line} {self.function}"


class Stacks:
    """Finds out which functions a thread is running (the thread's stack). An object keeps a file in memory open, or a
    temporary file on systems without files in memory."""

    def __init__(self) -> None:
        """Open the file for the stacks. Raises OSError when no file can be opened."""
        self._file: IO[bytes] = _scratch()

    def of(self, thread: int) -> list[Frame]:
        """Return the innermost 100 frames of the thread with the id `thread` (`threading.get_ident`), the outermost
        frame first; [] for an unknown thread.

        `faulthandler` writes only the newest 100 threads, so an older thread is unknown.
        """
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback(self._file, all_threads=True)
        self._file.seek(0)
        return parse(self._file.read().decode("ascii", "replace"), thread)

    def close(self) -> None:
        """Close the file for the stacks."""
        self._file.close()


def _scratch() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        with contextlib.suppress(OSError):
            return os.fdopen(os.memfd_create("brownout-stacks"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def parse(text: str, thread: int) -> list[Frame]:
    """The frames of one thread, the outermost first, from the text that `faulthandler.dump_traceback` writes."""
    frames: list[Frame] = []
    inside = False
    for line in text.splitlines():
        if head := _THREAD.match(line):
            inside = int(head[1], 16) == thread
        elif inside and (frame := _FRAME.match(line)):
            file, number, function = frame.groups()
            frames.append(Frame(_decoded(file), int(number), _decoded(function)))
    return frames[::-1]


def _decoded(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2] or match[3], 16)), text)


def summary(frames: list[Frame], depth: int = 12, folder: Path | None = None) -> tuple[list[str], str]:
    """Return a text with the innermost `depth` frames, the outermost of them first, and a text with the innermost frame
    of the application ("" if there is none).

    Code counts as the application's if its file is in `folder` (default: the working directory) and not in a folder of
    installed packages. The first result always contains the innermost frame of the application, even when many frames
    of libraries are inside it.
    """
    root = folder or Path.cwd()
    own = next((frame for frame in reversed(frames) if _is_own(frame.file, root)), None)
    shown = frames[-depth:]
    if own and own not in shown:
        shown = [own, *shown[1:]]
    return [str(frame) for frame in shown], str(own) if own else ""


def _is_own(file: str, root: Path) -> bool:
    path = Path(file)
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return root in path.parents and _KIT not in path.parents and not installed and not file.startswith("<")
