"""A project of Compose, from outside: by Compose's commands, and HTTP by Python's own library.

Docker or the engine of a rehearsal, it makes no difference here.
"""

import hashlib
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "examples" / "cat.png"
# Some 5 s on two idle cores: long enough to be interrupted, short enough to be dreamt six times. A
# GPU needs more iterations for that.
SPEC = {"layers": "relu4_1", "dose": "30", "image_size": "96"}
ITERATIONS = 50
INTERRUPTED_AT = 10  # iterations; by then the first checkpoint is written
WEIGHTS_WITHIN_S = 1800.0
DREAM_WITHIN_S = 900.0
PNG = b"\x89PNG\r\n\x1a\n"
# Loopback is asked directly, whatever proxy the environment names.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """A check that did not hold."""


class Stack:
    """A project of Compose, and the API that it publishes."""

    def __init__(
        self,
        compose: Sequence[str],
        offline: Sequence[str],
        settings: dict[str, str],
        iterations: int = ITERATIONS,
    ) -> None:
        """Speak to it by `compose`, under `settings`.

        Args:
            compose: the command, with its files.
            offline: the same without a way out for the worker.
            settings: what a deployer would write into .env; they count from the next command on.
            iterations: of each dream.
        """
        self._compose, self._offline = compose, offline
        self._iterations = iterations
        self.settings = settings
        self.key = ""  # what requests send
        self.url = ""
        self._waits_for = ""

    def run(self, *words: str, offline: bool = False) -> str:
        """Return what a command of Compose prints."""
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        compose = self._offline if offline else self._compose
        command = ["env", *settings, *compose, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"`compose {words[0]}` failed: {done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def up(self, *, offline: bool = False, build: bool = False) -> None:
        """Start everything and wait until each health command is content, and a dream would run."""
        extra = ["--build"] if build else []
        self.run("up", "--detach", "--wait", *extra, offline=offline)
        self.url = f"http://{self.run('port', 'api', '8000')}"
        eventually(self.ready, WEIGHTS_WITHIN_S, "ready")

    def ready(self) -> bool:
        """Whether a dream posted now would run; else say what it waits for."""
        try:
            self.get("/readyz")
        except urllib.error.HTTPError as error:
            detail = json.load(error)["detail"]
            if detail != self._waits_for:
                print(f"  … {detail}", flush=True)
            self._waits_for = detail
            return False
        return True

    def get(self, path: str) -> bytes:
        """Return what the API answers."""
        request = urllib.request.Request(f"{self.url}{path}", headers=self._authorization())
        with DIRECT.open(request, timeout=30) as answer:
            body: bytes = answer.read()
        return body

    def status(self, path: str) -> int:
        """Return the status that the API answers with."""
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def job(self, dream: str) -> dict[str, Any]:
        """Return the job as it is now."""
        document: dict[str, Any] = json.loads(self.get(f"/dreams/{dream}"))
        return document

    def post(self) -> str:
        """Ask for the dream that all checks dream; return its id."""
        edge = "dream-smoke"
        spec = {**SPEC, "iterations": str(self._iterations)}
        parts = [
            *(f'"{name}"\r\n\r\n{value}'.encode() for name, value in spec.items()),
            b'"image"; filename="cat.png"\r\n\r\n' + PICTURE.read_bytes(),
        ]
        head = f"--{edge}\r\nContent-Disposition: form-data; name=".encode()
        body = b"".join(head + part + b"\r\n" for part in parts) + f"--{edge}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        request = urllib.request.Request(
            f"{self.url}/dreams", body, {**kind, **self._authorization()}
        )
        with DIRECT.open(request, timeout=60) as answer:
            dream: str = json.load(answer)["id"]
        return dream

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def under_way(self, dream: str) -> None:
        """Wait until the dream is well under way."""
        eventually(
            lambda: self.job(dream)["progress"]["iteration"] >= INTERRUPTED_AT,
            DREAM_WITHIN_S,
            f"iteration {INTERRUPTED_AT}",
        )
        if (status := self.job(dream)["status"]) != "running":
            raise Failed(f"the dream is {status} before it could be interrupted")

    def result(self, dream: str) -> str:
        """Wait for the dream's end; return the checksum of its picture."""
        eventually(lambda: self.job(dream)["status"] not in ("queued", "running"), DREAM_WITHIN_S)
        job = self.job(dream)
        if job["status"] != "succeeded":
            raise Failed(f"the dream {job['status']}: {job['problem']}")
        picture = self.get(job["links"]["result"])
        if not picture.startswith(PNG):
            raise Failed("the result is no PNG")
        return hashlib.sha256(picture).hexdigest()


def eventually(true: Callable[[], bool], within_s: float, what: str = "an end") -> None:
    """Wait until something is true.

    Raises:
        Failed: it isn't, in all that time.
    """
    until = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until:
            raise Failed(f"{what} not within {within_s:g} s")
        threading.Event().wait(0.2)


def beside(compose: Sequence[str], files: Sequence[str], iterations: int = ITERATIONS) -> Stack:
    """Return a stack of its own beside the one that may run here."""
    named = [part for file in files for part in ("--file", str(ROOT / file))]
    offline = ["--file", str(ROOT / "rehearsal" / "offline.yml")]
    project = ["--project-name", "torch-inception-smoke"]
    ours = [*compose, *project, *named]
    # Not the door of the one that runs here: `check_key` has one of its own.
    door = {"DREAM_PUBLISH": "127.0.0.1", "DREAM_API_KEY": "", "DREAM_API_KEY_FILE": ""}
    settings = {**door, "DREAM_PORT": str(free_port())}
    return Stack(ours, [*ours, *offline], settings, iterations)


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def own_address() -> str:
    """Return the address under which other machines would reach this one.

    Raises:
        Failed: it is on no network.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the kernel only looks for the way
        except OSError as error:
            raise Failed("this host has no address but loopback") from error
        address: str = probe.getsockname()[0]
    return address
