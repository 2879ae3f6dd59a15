"""Layouts as applications have them, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from brownout.history.layout import Layout

QUEUES = ("celery", "q-shop", "q.high_priority", "qäö")
PREFIXES = ("", "shop:", "{shop}", "a/b ", "unacked", "\x06\x16", "é-")
SEPARATORS = ("\x06\x16", ":", "::", "|", "#", "->")
STEPS = ((0, 3, 6, 9), (0, 1, 2, 3), tuple(range(10)), (0,), (1, 5))


def layouts() -> st.SearchStrategy[Layout]:
    """Any of these with any queues; a worker's queue has no separator in its name, which kombu itself cannot read."""
    return st.builds(
        Layout,
        prefix=st.sampled_from(PREFIXES),
        separator=st.sampled_from(SEPARATORS),
        steps=st.sampled_from(STEPS),
        unacked=st.sampled_from(["unacked", "open"]),
        queues=st.lists(st.sampled_from(QUEUES), min_size=1, max_size=3, unique=True).map(tuple),
    )
