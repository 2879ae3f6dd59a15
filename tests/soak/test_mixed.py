"""Many jobs under a random mix of faults: none lost, none done twice, no false status, and nothing kept for ever.

`BROWNOUT_SOAK_JOBS` says how many jobs (default 2,000), `--chaos-seed` which mix; the seed is in the run's summary.
"""

from collections.abc import Callable

import pytest

from brownout import Lab
from tests.chaos.promises import jobs_end_once
from tests.soak.conftest import JOBS, nothing_kept

pytestmark = pytest.mark.chaos


def test_no_job_is_lost_doubled_or_misreported(soak: Callable[..., Lab]) -> None:
    lab = soak()
    lab.promise(*jobs_end_once(), *nothing_kept())
    outcome = lab.run()
    outcome.must_hold()
    accepted = sum(operation.accepted is not None for operation in outcome.result.history.ops.values())
    assert accepted >= JOBS, f"{accepted} of {JOBS} jobs were accepted"
