"""A folder for what the subject's processes put into the temporary folder, so that a trial leaves nothing there."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brownout.subject import custody


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder, removed at the end of the block, or by the reaper when this process is killed.

    For TMPDIR: billiard and multiprocessing make a `pymp-*` there that stays behind a process that was killed. It is
    not the trial's own folder, because a Unix socket in it has a path of at most 107 bytes (unix(7)).
    """
    folder = Path(tempfile.mkdtemp(prefix="brownout-"))
    custody.hold_directory(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        custody.release_directory(folder)
