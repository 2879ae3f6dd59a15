"""Times in messages: three significant digits, and more where a time would look like its limit."""

import pytest

from brownout.check.interval import readable


@pytest.mark.parametrize(
    ("seconds", "limit", "text"),
    [
        (2.4764, 2.0, "2.48 s"),
        (10.04, 10.0, "10.04 s"),
        (2.004, 2.0, "2.004 s"),
        (10.0, 10.0, "10 s"),
        (0.1004, 0.1, "100.4 ms"),
        (0.9999, None, "1 s"),
        (0.035, None, "35 ms"),
        (0.0, None, "0 s"),
        (123.456, None, "123 s"),
        (1234.5, None, "1230 s"),
    ],
)
def test_a_time_is_never_written_as_its_limit(seconds: float, limit: float | None, text: str) -> None:
    assert readable(seconds, limit) == text
