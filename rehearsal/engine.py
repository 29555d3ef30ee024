"""An engine for Compose: Podman behind Docker's interface, everything in one folder.

Compose is the real one. Podman starts its containers with runc as Docker does: namespaces, seccomp,
capabilities, limits, networks and names are the kernel's own. What differs is listed in `table`.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rehearsal.compose import binary

# Podman asks systemd to ask for health; no systemd runs where this does, so we ask.
HEALTH_EVERY_S = 5.0
STARTS_WITHIN_S = 20.0
CONFIGURATION = """\
[containers]
default_ulimits = [{ulimits}]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{networks}"
"""


class Engine:
    """Podman's service and its storage; as a context manager it leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        """Keep images, containers and volumes in `folder`, which ends with the engine."""
        self.folder = folder
        self._storage = ["--root", str(folder / "store"), "--runroot", str(folder / "run")]
        self._socket = folder / "podman.sock"
        self._closing = threading.Event()
        self._health = threading.Thread(target=self._ask_health, name="health", daemon=True)
        self._service: subprocess.Popen[bytes] | None = None
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DREAM_")},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "DISABLE_HC_SYSTEMD": "true",
            "DOCKER_HOST": f"unix://{self._socket}",
        }

    def __enter__(self) -> Self:
        """Start the service."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # More than this process has may not be given, and Podman would.
        limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
        most = int(Path("/proc/sys/kernel/pid_max").read_text())  # buildah goes down to it first
        hard = {name: min(resource.getrlimit(kind)[1], most) for name, kind in limits.items()}
        ulimits = ", ".join(f'"{name}={limit}:{limit}"' for name, limit in hard.items())
        (self.folder / "containers.conf").write_text(
            CONFIGURATION.format(ulimits=ulimits, networks=self.folder / "networks")
        )
        self._socket.unlink(missing_ok=True)
        with (self.folder / "podman.log").open("ab") as log:
            self._service = subprocess.Popen(
                [
                    "podman",
                    *self._storage,
                    "system",
                    "service",
                    "--time=0",
                    f"unix://{self._socket}",
                ],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + STARTS_WITHIN_S
        while not self._socket.exists():
            if time.monotonic() > until or self._service.poll() is not None:
                raise RuntimeError(f"Podman doesn't start; see {self.folder / 'podman.log'}")
            self._closing.wait(0.05)
        self._health.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Remove every container, network and volume, and stop the service."""
        self._closing.set()
        self._health.join()
        self.podman("rm", "--all", "--force", "--time", "0", check=False)
        self.podman("network", "prune", "--force", check=False)
        self.podman("volume", "prune", "--force", check=False)
        if self._service:
            self._service.terminate()
            self._service.wait()
        self._end_monitors()

    def podman(self, *words: str, check: bool = True, **options: Any) -> str:
        """Return what Podman says."""
        return self._run(["podman", *self._storage, *words], check=check, **options)

    def buildah(self, *words: str) -> None:
        """Build; what is said goes to a file, and its end to the terminal where it fails."""
        log = self.folder / "build.log"
        with log.open("w") as lines:
            done = subprocess.run(
                ["buildah", *self._storage, *words],
                env=self.environment,
                stdout=lines,
                stderr=lines,
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"a build failed:\n{log.read_text()[-4000:]}")

    def remove(self) -> None:
        """Remove all images, and the folder."""
        self.podman("rmi", "--all", "--force", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def compose(self, settings: Mapping[str, str]) -> list[str]:
        """Return the command of a Compose that speaks to this engine, whatever .env lies here."""
        given = [f"{name}={value}" for name, value in {**self._ours(), **settings}.items()]
        return ["env", *given, str(binary()), "--env-file", os.devnull]

    def _ours(self) -> dict[str, str]:
        names = ("CONTAINERS_CONF", "DISABLE_HC_SYSTEMD", "DOCKER_HOST")
        return {name: self.environment[name] for name in names}

    def _run(self, command: Sequence[str], *, check: bool, **options: Any) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL,
            text=True,
            check=check,
            **options,
        )
        return done.stdout.strip()

    def _end_monitors(self) -> None:
        """End what watched a command in a container: it would stay for five minutes more."""
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it ended meanwhile
                words = (process / "cmdline").read_text().split("\0")
                if words[0].endswith("conmon") and any(str(self.folder) in word for word in words):
                    os.kill(int(process.name), signal.SIGKILL)

    def _ask_health(self) -> None:
        while not self._closing.wait(HEALTH_EVERY_S):
            listed = self.podman("ps", "--format", "json", check=False)
            for container in json.loads(listed or "[]"):
                self.podman("healthcheck", "run", container["Id"], check=False)
