"""A folder for the temporary files of the subject's processes, so that a trial leaves none behind."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brownout.subject.processes import custody


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder for TMPDIR, removed at the end of the block, or by the reaper when this process is killed.

    The packages billiard and multiprocessing make a folder `pymp-*` in TMPDIR; the folder is left behind when their
    process is killed. TMPDIR is not inside the trial's folder, because the path of a Unix socket may have at most 107
    bytes (unix(7)).
    """
    folder = custody.make_directory("brownout-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        custody.release_directory(folder)
