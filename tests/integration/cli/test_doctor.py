"""`dream doctor` on real parts: what is broken is named, with the way out and an exit status."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.main import run
from dream_core import native
from dream_core.native import library
from jobs.connection import connect
from jobs.settings import PREFIX, Settings
from jobs.valkey import socket_url

ROOT = Path(__file__).parents[3]
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from cli.main import run
sys.exit(run(["doctor"]))
"""


class Home(BaseHTTPRequestHandler):
    """What our API says of itself at its root."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"name": "torch-inception"}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def ours(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look at this test's server, folders and a port that nobody has."""
    models = tmp_path / "models" / "vgg19"
    models.mkdir(parents=True)
    monkeypatch.setenv(f"{PREFIX}MODEL_DIR", str(models.parent))
    monkeypatch.setenv(f"{PREFIX}DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv(f"{PREFIX}PORT", "0")
    assert settings.redis_url is not None
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", settings.redis_url.get_secret_value())


@contextmanager
def configured(server: Settings, name: str, value: str) -> Iterator[None]:
    """Let the server have another setting, over a connection that outlasts any password."""
    client = connect(server)
    before = client.config_get(name)[name]
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Return what the doctor prints."""
    assert run(["doctor"]) in (0, 1)
    return capsys.readouterr().out


def test_a_redis_that_answers_and_keeps_everything_is_fine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a ledger needs is a server that never drops a key by itself."""
    (line,) = [line for line in said(capsys).splitlines() if line[4:].startswith("redis")]

    assert line.startswith("ok")
    assert line.endswith("noeviction, AOF")


def test_a_redis_that_forgets_is_named(
    server: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """An evicting Redis loses jobs when it is full, and says nothing."""
    with configured(server, "maxmemory-policy", "allkeys-lru"):
        output = said(capsys)

    assert "!!  redis" in output
    assert "set `maxmemory-policy noeviction`" in output


def test_a_redis_that_keeps_no_log_is_named(
    server: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it was told since its last snapshot is gone after a crash."""
    with configured(server, "appendonly", "no"):
        output = said(capsys)

    assert "noeviction, no AOF" in output
    assert "set `appendonly yes`" in output


def test_a_replica_is_named(server: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """It answers, and takes nothing."""
    client = connect(server)
    client.replicaof("127.0.0.1", 1)
    try:
        output = said(capsys)
    finally:
        client.replicaof("NO", "ONE")

    assert "name the primary" in output


def test_a_disk_below_the_floor_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below DREAM_MIN_FREE_DISK every dream would be refused."""
    monkeypatch.setenv(f"{PREFIX}MIN_FREE_DISK", str(10**15))

    output = said(capsys)

    assert "!!  data" in output
    assert "1,000,000.0 GB are needed: free space there, or set DREAM_DATA_DIR" in output


def test_a_program_is_told_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a finding, in the order of the lines, with the same exit status."""
    status = run(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    lines = [line for line in said(capsys).splitlines() if line[:2] in ("ok", "!!")]

    assert [each["name"] for each in found] == [line[4:].split()[0] for line in lines]
    assert [each["ok"] for each in found] == [line.startswith("ok") for line in lines]
    assert all(bool(each["fix"]) != each["ok"] for each in found)
    assert status == (0 if all(each["ok"] for each in found) else 1)
    assert {"python", "torch", "cpu", "device", "memory", "data", "weights", "redis"} <= {
        each["name"] for each in found
    }


def test_anything_amiss_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """For scripts: 1 where a line has a way out, and that line is there."""
    monkeypatch.setenv(f"{PREFIX}REDIS_URL", socket_url(tmp_path / "nowhere"))

    assert run(["doctor"]) == 1
    assert "start it, or set DREAM_REDIS_URL" in capsys.readouterr().out


def test_missing_and_broken_weights_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both come right by a pull, and the line says so."""
    assert "vgg19 is not here, and DREAM_PRELOAD names it" in said(capsys)

    (tmp_path / "models" / "vgg19" / "weights.safetensors").write_bytes(b"half of it")
    (tmp_path / "models" / "vgg19" / "weights.sha256").write_text("0" * 64)

    assert "run `dream models pull vgg19`" in said(capsys)


def test_the_weights_that_a_worker_would_begin_with_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pull it names is of the deployer's model, and a model that isn't one is said."""
    monkeypatch.setenv(f"{PREFIX}PRELOAD", "vgg16")
    other = said(capsys)
    monkeypatch.setenv(f"{PREFIX}PRELOAD", "vgg99")
    unknown = said(capsys)

    assert "run `dream models pull vgg16`" in other
    assert "!!  weights  there is no model 'vgg99'; did you mean vgg19" in unknown
    assert "name another in DREAM_PRELOAD" in unknown


@pytest.mark.parametrize(("name", "value"), [("HOST", "0.0.0.0"), ("API_KEY", "short")])
def test_a_door_that_would_not_open_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    """An API with these settings ends with one sentence; it is the same here."""
    assert "ok  door     open, to this machine alone" in said(capsys)

    monkeypatch.setenv(PREFIX + name, value)

    assert f"!!  door     {PREFIX}{name} is '" in said(capsys)


def test_a_redis_that_wants_another_password_is_named(
    server: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs and need not be started; no password is shown."""
    with configured(server, "requirepass", "swordfish"):
        output = said(capsys)

    assert "set DREAM_REDIS_PASSWORD to the one it was started with" in output
    assert "swordfish" not in output


def test_a_machine_without_torch_is_looked_at_to_the_end() -> None:
    """As in the API's container: torch is named, and so is all that can be seen without it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHOUT_TORCH],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "!!  torch    can't be imported: " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("ok  clock")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_kernel_that_was_not_built_is_said_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dreams run without it, only slower; the line says what to install."""
    monkeypatch.setattr(library, "_loaded", lambda: "no compiler; install g++")
    library.paths.cache_clear()
    try:
        (line,) = [line for line in said(capsys).splitlines() if line[4:].startswith("kernel")]
    finally:
        library.paths.cache_clear()

    assert line.startswith("ok")
    assert "install g++" in line


def test_instructions_that_the_compiler_left_out_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dreams run, by fewer than this CPU has; a newer g++ is the way out."""
    monkeypatch.setattr(native, "missed", lambda: ("avx512_bf16", "amx"))

    (line,) = [line for line in said(capsys).splitlines() if line[4:].startswith("kernel")]

    assert line.startswith("ok")
    assert "left out avx512_bf16, amx, which this CPU has: install g++ 11 or newer" in line


def test_a_port_that_somebody_has_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before `dream up` fails on it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv(f"{PREFIX}PORT", str(other.getsockname()[1]))
        output = said(capsys)

    assert "stop it, or set DREAM_PORT" in output


def test_a_port_that_our_service_has_is_fine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked itself, whatever proxy the environment names."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Home) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        monkeypatch.setenv(f"{PREFIX}PORT", str(service.server_address[1]))
        output = said(capsys)
        service.shutdown()

    assert "ok  port     the service answers at http://127.0.0.1:" in output


def measured(file: Path, fast_s: float, **more: float) -> None:
    """Write what was measured here: a look takes 0.4 s exactly, `fast_s` in 16 bit."""
    import torch

    from dream_core.executors.probe import FILE_VERSION, machine
    from dream_core.executors.way import WAYS

    seconds = {"exact": 0.4, "balanced": 3 * fast_s, "fast": fast_s}
    told = {str(way): seconds[way.precision] for way in WAYS} | {"autograd exact": 0.8}
    machines = {machine(torch.device("cpu")): told | more}
    file.write_text(json.dumps({"version": FILE_VERSION, "machines": machines}))


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where figures are kept; any way may be taken."""
    file = tmp_path / "probe.json"
    monkeypatch.setenv(f"{PREFIX}PROBE_FILE", str(file))
    monkeypatch.setenv(f"{PREFIX}DEVICE", "cpu")
    monkeypatch.setenv(f"{PREFIX}EXECUTOR", "auto")
    return file


def test_it_says_what_was_measured_and_what_auto_is_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    """By a file that is there already; a way can be ordered all the same."""
    measured(file, fast_s=0.1)

    by_measure = said(capsys)
    monkeypatch.setenv(f"{PREFIX}EXECUTOR", "autograd")
    ordered = said(capsys)

    assert re.search(
        r"ok  speed    auto is \w+ fast; times as fast as the plain way: .*direct exact 2.0",
        by_measure,
    )
    assert "computed exactly" not in by_measure
    assert "ok  speed    auto is autograd exact, as DREAM_EXECUTOR says" in ordered


def test_it_says_which_words_gain_nothing_here(
    capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    """Without instructions for 16 bit nobody gets them, whoever asks."""
    measured(file, fast_s=4.0)

    assert "; so balanced and fast are computed exactly too\n" in said(capsys)


def test_it_says_that_others_had_the_cores(capsys: pytest.CaptureFixture[str], file: Path) -> None:
    """Such figures are not for good."""
    measured(file, fast_s=0.1, busy_at=time.time())

    assert "; other programs had the cores meanwhile, so it will be measured again\n" in said(
        capsys
    )


def test_it_measures_with_the_threads_that_a_worker_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    """Figures are kept by threads: a doctor with others would measure what no worker looks at."""
    import torch

    monkeypatch.setattr("dream_core.executors.cores.cores", lambda: 6)
    before = torch.get_num_threads()
    try:
        for name, value, expected in (("WORKERS", "2", 3), ("THREADS", "5", 5)):
            monkeypatch.setenv(f"{PREFIX}{name}", value)
            torch.set_num_threads(expected)
            measured(file, fast_s=0.1)
            torch.set_num_threads(64)
            output = said(capsys)

            assert f", {expected} threads\n" in output
            assert re.search(r"ok  speed    auto is \w+ fast;", output)
    finally:
        torch.set_num_threads(before)
