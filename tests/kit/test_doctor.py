"""`brownout doctor` on real processes: a project that works, and projects that do not, each in its own way."""

from __future__ import annotations

from pathlib import Path

from brownout.project.collecting import broken
from tests.kit.test_map_http import ORDER, PROJECT, STATUS, Command
from tests.kit.test_map_http import brownout as brownout
from tests.kit.test_map_http import folder as folder

FAILS = """
from celery.signals import worker_init

@worker_init.connect
def fail(**_):
    raise SystemExit("no disk")
"""


def test_a_project_that_works(brownout: Command, folder: Path) -> None:
    done = brownout("doctor", *ORDER, *STATUS)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = [line.split()[:3] for line in done.stdout.splitlines()]
    assert parts == [
        *(["✓", "application", "is"], ["✓", "api", "starts"], ["✓", "worker-1", "starts"]),
        *(["✓", "worker-1", "ends"], ["✓", "api", "ends"], ["✓", "task", "POST"]),
    ]
    assert "is imported: 2 tasks, 7 routes" in done.stdout
    assert list((folder / "tmp").iterdir()) == []


def test_a_worker_that_ends_at_its_start(brownout: Command, folder: Path) -> None:
    """The part, the last line of its log, and what to type."""
    (folder / "shop.py").write_text((folder / "shop.py").read_text() + FAILS)
    done = brownout("doctor", *ORDER, *STATUS)
    assert done.returncode == 1
    (wrong, why, following) = done.stdout.splitlines()[1:]
    assert wrong.split() == ["✗", "worker-1", "starts"]
    assert why.strip() == "worker-1 ended with exit code 1 before it was ready: no disk"
    assert following == "  Next  python -m celery -A shop:celery worker"


def test_a_conftest_that_breaks_the_collection(brownout: Command, folder: Path) -> None:
    """The file, its error, and the command that runs the scenarios without it."""
    (folder / "tests" / "chaos").mkdir(parents=True)
    (folder / "tests" / "chaos" / "test_first.py").write_text("def test_first(): pass\n")
    (folder / "tests" / "conftest.py").write_text("import os\nos.environ['SHOP_KEY']\n")
    done = brownout("doctor", *ORDER, *STATUS)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-3:] == [
        "✗ scenarios    in tests/chaos are collected by pytest",
        "    tests/conftest.py cannot be imported, so pytest collects no scenario: KeyError: 'SHOP_KEY'",
        "  Next  pytest --confcutdir=tests/chaos tests/chaos",
    ]
    assert broken(folder / "tests") == ("", ""), "there are no scenarios below this folder"
    (folder / "tests" / "conftest.py").unlink()
    assert broken(folder) == ("", "")
    (folder / "tests" / "chaos" / "conftest.py").write_text("import nowhere_to_be_found\n")
    assert broken(folder) == (
        "tests/chaos/conftest.py cannot be imported, so pytest collects no scenario: "
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        "pytest --collect-only tests/chaos",
    )


def test_a_task_that_refuses_its_arguments(brownout: Command) -> None:
    done = brownout("doctor", "--task", "shop.send", "--args", "[1, 2]")
    assert done.returncode == 1
    assert "✗ task         call shop.send is done once\n" in done.stdout
    assert "TypeError: send() takes 1 positional argument but 2 were given" in done.stdout
    assert "  Next  look at --args and --kwargs\n" in done.stdout


def test_a_task_that_fails(brownout: Command, folder: Path) -> None:
    source = (folder / "shop.py").read_text().replace("    return kind\n", "    raise LookupError(f'no {kind}')\n")
    (folder / "shop.py").write_text(source)
    done = brownout("doctor", *ORDER, *STATUS)
    assert done.returncode == 1
    assert "✗ task         POST /orders is done once\n" in done.stdout
    assert "LookupError: no 1" in done.stdout


def test_a_broker_that_the_application_does_not_take(brownout: Command, folder: Path) -> None:
    source = (folder / "shop.py").read_text()
    fixed = source.replace('broker=os.environ["SHOP_REDIS"]', 'changes={"broker_read_url": "redis://127.0.0.1:1/0"}')
    assert fixed != source
    (folder / "shop.py").write_text(fixed)
    done = brownout("doctor", "--task", "shop.send", "--args", "[1]")
    assert done.returncode == 1
    assert "✗ worker-1     is wired" in done.stdout
    assert "it never connected to the broker that it was given: " in done.stdout
    assert "--env NAME={broker}" in done.stdout


def test_a_broker_that_is_not_redis(brownout: Command, folder: Path) -> None:
    """A URL of RabbitMQ in the code is named, and nothing else is tried in its place."""
    source = (
        (folder / "shop.py").read_text().replace('broker=os.environ["SHOP_REDIS"]', 'broker="amqp://guest@rabbit//"')
    )
    (folder / "shop.py").write_text(source)
    done = brownout("doctor", "--task", "shop.send", "--args", "[1]")
    assert done.returncode == 2
    assert "the application's broker is amqp, and brownout breaks Redis: nothing was tried" in done.stderr


def test_an_application_that_cannot_be_imported(brownout: Command, folder: Path) -> None:
    (folder / "shop.py").write_text("import missing_thing")
    done = brownout("doctor", "--task", "shop.send")
    assert done.returncode == 2
    assert "the application needs the module missing_thing, which is not installed" in done.stderr


def test_an_api_that_never_says_that_it_is_ready(brownout: Command, folder: Path) -> None:
    (folder / "brownout.toml").write_text(PROJECT.replace("/docs", "/nowhere"))
    done = brownout("doctor", *ORDER, *STATUS)
    assert done.returncode == 1
    assert "✗ api          answers\n    GET /nowhere answered 404 for 30 s; " in done.stdout
    assert "--ready" in done.stdout
