"""Generated sequences of requests: the built-in API answers as toxiproxy-server, but for the documented exceptions.

`--hypothesis-seed=N` repeats a run, in CI too.
"""

import os
from collections import Counter

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.kit.toxiproxy_exceptions import EXCEPTIONS, Asked, alike
from tests.kit.toxiproxy_requests import START, requests
from tests.kit.toxiproxy_servers import Api

SEQUENCES, LENGTH = 110, 15


def both_do(pair: tuple[Api, Api], sequence: list[Asked]) -> Counter[str]:
    """Ask both the same, up to the first exception that leaves them in different states; how often each one was met."""
    seen: Counter[str] = Counter()
    for api in pair:
        api.clear()
    for asked in (*START, *sequence):
        theirs, ours = (api.ask(asked.method, asked.path, asked.body) for api in pair)
        seen["requests"] += 1
        for name, applies in EXCEPTIONS.items():
            if applies(asked, theirs, ours):
                seen[name] += 1
                return seen
        assert alike(ours) == alike(theirs), f"{asked}\nofficial {theirs}\nours     {ours}"
    theirs, ours = (api.ask("GET", "/proxies") for api in pair)
    assert alike(ours) == alike(theirs)
    return seen


def test_generated_requests_are_answered_alike(pair: tuple[Api, Api], request: pytest.FixtureRequest) -> None:
    total: Counter[str] = Counter()

    @hypothesis.settings(
        deadline=None,
        # `derandomize` wins over a seed, and examples of a database come before both.
        derandomize="CI" in os.environ and request.config.getoption("--hypothesis-seed") is None,
        database=None,
        print_blob=True,
        max_examples=SEQUENCES,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.lists(requests(), min_size=LENGTH, max_size=LENGTH * 2))
    def asked(sequence: list[Asked]) -> None:
        total.update(both_do(pair, sequence))

    asked()
    assert total["requests"] >= 1500, total
