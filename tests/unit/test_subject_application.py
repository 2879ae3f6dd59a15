"""What an application is told by its environment."""

from pathlib import Path

import pytest

from brownout.subject.application import Application, filled

JSON = '{"queues": {"a": 1}, "broker_url": "{broker}", "name": "{nobody}"}'


def test_braces_that_name_no_place_stay_as_they_are() -> None:
    """A value may be JSON, a format string, or half of one."""
    env = {"CONF": JSON, "FORMAT": "{0} {} {{broker}}", "ODD": "{", "PLAIN": "x"}
    assert Application(env=env).environment(broker="redis://here/0", files=Path("/there")) == {
        "CONF": '{"queues": {"a": 1}, "broker_url": "redis://here/0", "name": "{nobody}"}',
        "FORMAT": "{0} {} {redis://here/0}",
        "ODD": "{",
        "PLAIN": "x",
    }


@pytest.mark.parametrize("places", [{}, {"service": "http://there/{broker}"}])
def test_what_a_place_becomes_is_not_filled_again(places: dict[str, str]) -> None:
    env = {"URL": "{service}", "CONF": JSON}
    assert filled(env, places) == {"URL": places.get("service", "{service}"), "CONF": JSON}
