"""Published clients of Toxiproxy against the built-in API; the official server holds each test itself to account."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from brownout.subject.ports import free_port
from tests.kit.toxiproxy_exceptions import alike
from tests.kit.toxiproxy_servers import Api, missing, needed

CLIENTS = Path(__file__).parent / "clients"
MODULE, RELEASE = "github.com/Shopify/toxiproxy/v2", "v2.12.0"
GO_MOD = f"module suite\n\ngo 1.23\n\nrequire {MODULE} {RELEASE}\n"
OTHER_VERSION = "TestVersionEndpointReturnsVersion"  # expects a server that was not built as a release
NODE_CLIENT = "toxiproxy-node-client@4.1.0"
BOTH = pytest.mark.parametrize("which", [0, 1], ids=["toxiproxy", "builtin"])


def run(argv: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )


def fetching() -> None:
    """Skip where packages are not to be fetched: only `tox -e clients` reaches beyond this machine."""
    if "BROWNOUT_FETCH" not in os.environ:
        pytest.skip("`tox -e clients` fetches Toxiproxy's Go and Node clients, and runs them")


def brief(text: str) -> str:
    """Its begin, in one line."""
    return " ".join(text.split())[:200]


@pytest.fixture(scope="module")
def official_suite() -> str:
    """The test file of the module that has the Go client, from its first test on."""
    fetching()
    wanted = "go 1.23 or later on PATH, for Toxiproxy's Go client"
    go = needed("go", f"no {wanted}")
    have = run([go, "env", "GOVERSION"], Path("/"), GOTOOLCHAIN="local").stdout.strip()
    if (number := re.match(r"go1\.(\d+)", have)) is None or int(number[1]) < 23:
        missing("go", f"no {wanted}: there is {have}")
    fetched = run([go, "mod", "download", "-json", f"{MODULE}@{RELEASE}"], Path("/"), GOTOOLCHAIN="local")
    if fetched.returncode:
        missing("go", f"{MODULE} could not be fetched: {brief(fetched.stdout + fetched.stderr)}")
    text = (Path(json.loads(fetched.stdout)["Dir"]) / "api_test.go").read_text()
    return text[text.index("func TestRequestId") :]


def on_free_ports(text: str, server: int) -> str:
    """The suite's fixed ports, replaced by free ones; that of its server by `server`."""
    ports = {"8475": server}
    return re.sub(
        r"(localhost|127\.0\.0\.1):(\d{4,5})",
        lambda found: f"{found[1]}:{ports.get(found[2]) or ports.setdefault(found[2], free_port())}",
        text,
    )


@BOTH
def test_the_official_go_suite_passes(pair: tuple[Api, Api], official_suite: str, tmp_path: Path, which: int) -> None:
    api = pair[which]
    api.clear()
    head = (CLIENTS / "with_server_test.go").read_text().replace("%URL%", f"http://127.0.0.1:{api.port}")
    (tmp_path / "go.mod").write_text(GO_MOD)
    (tmp_path / "suite_test.go").write_text(head + on_free_ports(official_suite, api.port))
    argv = ["go", "test", "-mod=mod", "-count=1", "-v", f"-skip={OTHER_VERSION}", "."]
    ran = run(argv, tmp_path, GOTOOLCHAIN="local")
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert ran.stdout.count("--- PASS") == official_suite.count("\nfunc Test")  # all but one, and the first


def node_says(api: Api, folder: Path) -> Any:
    """What each call of the client gave."""
    api.clear()
    argv = [
        "node",
        str(CLIENTS / "node.mjs"),
        f"http://127.0.0.1:{api.port}",
        f"127.0.0.1:{api.ports[0]}",
        "127.0.0.1:1",
    ]
    ran = run(argv, folder)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.replace(str(api.ports[0]), "@0"))


def test_the_node_client_sees_no_difference(pair: tuple[Api, Api], tmp_path: Path) -> None:
    fetching()
    npm = needed("npm", "no npm on PATH, for Toxiproxy's Node client")
    needed("node", "no node on PATH, for Toxiproxy's Node client")
    fetched = run([npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", NODE_CLIENT], tmp_path)
    if fetched.returncode:
        missing("npm", f"{NODE_CLIENT} could not be fetched: {brief(fetched.stderr)}")
    theirs, ours = (node_says(api, tmp_path) for api in pair)
    assert ours == theirs
    assert len(ours) == 19
    assert "404" in str(dict(ours)["get none"])


# As Toxiproxy.Net for .NET writes them: PascalCase keys, an enumeration for the stream, and RestSharp's headers. The
# client itself cannot be run here.
RESTSHARP = {
    "Accept": "application/json, text/json, text/x-json, text/javascript, application/xml, text/xml",
    "User-Agent": "RestSharp/106.0.0.0",
    "Accept-Encoding": "gzip, deflate",
    "Content-Type": "application/json",
    "Expect": "100-continue",
}
PROXY = {"Name": "one", "Listen": "127.0.0.1:@0", "Upstream": "127.0.0.1:6379", "Enabled": True}
TOXIC = {"Name": "slow", "Stream": "DownStream", "Toxicity": 1.0, "Type": "latency"}
NET: list[tuple[str, str, Any, int]] = [
    ("POST", "/proxies", PROXY, 201),
    ("GET", "/proxies", None, 200),
    ("GET", "/proxies/one", None, 200),
    ("POST", "/proxies/one", {**PROXY, "Enabled": False}, 200),
    ("POST", "/proxies/one", PROXY, 200),
    ("POST", "/proxies/one/toxics", {"Attributes": {"Latency": 1000, "Jitter": 10}, **TOXIC}, 200),
    ("POST", "/proxies/one/toxics/slow", {"Attributes": {"Latency": 2000, "Jitter": 0}, **TOXIC}, 200),
    ("GET", "/proxies/one/toxics", None, 200),
    ("POST", "/proxies/one/toxics", {"Attributes": {"AverageSize": 5}, **TOXIC, "Type": "slicer"}, 409),
    ("DELETE", "/proxies/one/toxics/slow", None, 204),
    ("POST", "/populate", [PROXY, {**PROXY, "Name": "two", "Listen": "127.0.0.1:@1"}], 201),
    ("POST", "/reset", None, 204),
    ("DELETE", "/proxies/one", None, 204),
]


def test_a_client_that_writes_pascal_case_sees_no_difference(pair: tuple[Api, Api]) -> None:
    for api in pair:
        api.clear()
    for method, path, body, status in NET:
        data = json.dumps(body).encode() if body is not None else b"" if method == "POST" else None
        headers = RESTSHARP if data else {name: RESTSHARP[name] for name in ("Accept", "User-Agent")}
        theirs, ours = (alike(api.ask(method, path, data, headers)) for api in pair)
        assert (ours, ours.status) == (theirs, status), (method, path)
        if path.endswith("/slow") and method == "POST":
            assert ours.data["attributes"] == {"latency": 2000, "jitter": 0}
