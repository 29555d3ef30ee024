"""Every setting of a deployment, once: read from DREAM_… when a process starts, then passed on."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit, urlunsplit

import platformdirs
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs import door
from jobs.errors import BadSetting

PREFIX = "DREAM_"
NO_MODEL = "none"  # DREAM_PRELOAD: no worker has weights before its first job

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_SHORTEST_S, _LONGEST_S = 60, 3650 * 86_400


def _probe_file() -> Path:
    return Path(platformdirs.user_cache_dir("torch-inception")) / "probe.json"


def _data_dir() -> Path:
    return Path(platformdirs.user_data_dir("torch-inception"))


class Settings(BaseSettings):
    """What a deployer can set. One class for API, worker, embedded server and `dream up`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True
    )

    data_dir: Path = Field(
        default_factory=_data_dir,
        description="everything a stack keeps: pictures, frames, and the embedded server's data",
    )
    redis_url: SecretStr | None = Field(
        None,
        description="a Redis or Valkey from 7 on: redis://…, rediss://… or unix:///…; "
        "without one the stack starts its own in the data folder",
    )
    redis_password: SecretStr | None = Field(
        None, description="password for redis_url, where the URL has none"
    )
    host: str = Field("127.0.0.1", description="address that the API listens on")
    port: int = Field(8000, ge=0, le=65535, description="port of the API; 0 takes a free one")
    publish: str | None = Field(
        None,
        description="address of the host that a container's port is published on; "
        "the API then counts as bound to it",
    )
    api_key: SecretStr | None = Field(
        None,
        description="key that every call must send (`Authorization: Bearer …`), as `dream post` "
        "and its like do; needed where others can reach the API",
    )
    api_key_file: Path | None = Field(
        None, description="file that holds the key, in place of DREAM_API_KEY"
    )
    allowed_hosts: Annotated[str | None, AfterValidator(door.each(door.host))] = Field(
        None,
        description="names, with commas, that the API may be addressed by beside those of "
        "loopback; with a key and none named: any",
    )
    cors_origins: Annotated[str | None, AfterValidator(door.each(door.origin))] = Field(
        None,
        description="origins, with commas, of web pages elsewhere that may call the API: "
        "https://page.example",
    )
    trusted_proxies: Annotated[str | None, AfterValidator(door.each(door.network))] = Field(
        None,
        description="addresses or networks, with commas, of proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed",
    )
    workers: int = Field(1, ge=0, le=64, description="worker processes that `dream up` starts")
    worker_slot: int | None = Field(
        None, ge=0, description="number of a worker on its host; `dream up` counts from 0"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1 or mps")
    gpus: str = Field("all", description="GPUs that get a worker each in a container: all, or 0,1")
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads of a worker; default: the cores, shared out"
    )
    executor: Literal["auto", "autograd", "direct", "winograd"] = Field(
        "auto",
        description="how networks are run: auto measures what is fastest here; autograd is the "
        "reference, always in full precision; direct goes without the native kernel",
    )
    precision: Literal["auto", "exact", "balanced", "fast"] = Field(
        "auto",
        description="what a dream of precision auto becomes here: auto goes by what was measured",
    )
    probe_file: Path = Field(
        default_factory=_probe_file,
        description="where measured figures are kept; delete it to have them measured again",
    )
    preload: str = Field(
        "vgg19",
        description="model whose weights a worker has before its first job; `none` for no model",
    )
    max_image_size: int = Field(
        2048,
        ge=32,
        le=12_000,
        description="largest image_size of a dream: a limit of its time; that it fits into memory "
        "is seen to by plan",
    )
    max_upload_bytes: int = Field(
        20 * 2**20, ge=1024, description="largest picture that is taken, in bytes"
    )
    max_queued: int = Field(
        1000, ge=1, le=100_000, description="dreams that may wait at once; more are told to wait"
    )
    min_free_disk: int = Field(
        1_000_000_000,
        ge=0,
        description="bytes that stay free on the data folder's disk: a dream that may not fit "
        "above them is refused",
    )
    retention: str = Field(
        "7d",
        description="how long a finished dream is kept after its end: 90m, 12h, 7d, 4w, or off to "
        "keep all until they are deleted",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least serious line that is logged"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto: text on a terminal, else one JSON object a line"
    )
    parent_pid: int | None = Field(
        None, description="process to end with; set by `dream up` for what it starts"
    )

    @field_validator("data_dir", "api_key_file", "probe_file")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path and path.expanduser().absolute()

    @field_validator("gpus")
    @classmethod
    def _numbers(cls, gpus: str) -> str:
        if gpus != "all" and not all(part.isdecimal() for part in gpus.split(",")):
            raise ValueError("give all, or numbers with commas")
        return gpus

    @field_validator("retention")
    @classmethod
    def _duration(cls, retention: str) -> str:
        duration_s(retention)
        return retention

    @field_validator("redis_url")
    @classmethod
    def _known_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        schemes = ("redis://", "rediss://", "unix://", "redis+socket://")
        if url and not url.get_secret_value().startswith(schemes):
            raise ValueError(f"start it with one of {', '.join(schemes)}")
        return url and _usable(url)

    @property
    def embedded(self) -> bool:
        """Whether the stack starts its own server."""
        return self.redis_url is None

    @property
    def has_key(self) -> bool:
        """Whether the API asks for a key."""
        return self.api_key is not None or self.api_key_file is not None

    def key(self) -> SecretStr | None:
        """Return the key, read anew where it lies in a file.

        Raises:
            BadSetting: what is set is no key.
        """
        return door.read_key(self.api_key, self.api_key_file)

    def threads_of_each(self, there: int) -> int:
        """Return how many threads a worker takes, of those that all of a host could have.

        The workers of a host don't get into each other's way.
        """
        return self.threads or max(1, there // max(self.workers, 1))

    @property
    def keep_s(self) -> float | None:
        """Seconds that a finished dream is kept after its end; None: for good."""
        return duration_s(self.retention)

    def check_host(self) -> Self:
        """Refuse to be reached from other machines without a key.

        A container listens on all of its addresses; there `publish` says which of the host's
        leads to it.

        Raises:
            BadSetting: the API would be open to a network, or the key is none.
        """
        name, value = ("publish", self.publish) if self.publish else ("host", self.host)
        if self.key() is None and not door.loopback(value):
            raise BadSetting(
                f"{PREFIX}{name.upper()}",
                value,
                f"other machines could reach the API, and it has no key; make one "
                f"({door.MAKE_KEY}) and set {door.KEY} or {door.KEY_FILE}, or stay on 127.0.0.1",
                name,
            )
        return self

    def without_key(self) -> Self:
        """Return the settings of a process that answers no one: it need not know the key."""
        return self.model_copy(update={"api_key": None, "api_key_file": None})


def duration_s(typed: str) -> float | None:
    """Return a duration as people type it, `7d`, `12 hours` or `off`, in seconds; None for `off`.

    Raises:
        ValueError: it is none.
    """
    words = typed.strip().lower()
    if words in ("off", "never", "none"):
        return None
    found = _DURATION.fullmatch(words)
    if not found:
        raise ValueError("give a number and its unit, or off")
    seconds = float(found[1]) * _SECONDS[found[2][0]]
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise ValueError("give 1m to 3650d, or off")
    return seconds


def load(**given: object) -> Settings:
    """Return the settings of this process: `given` (options of a command) before the environment.

    Raises:
        BadSetting: one sentence with the setting, its value and the fix.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        field = str(fault["loc"][0])
        reason = fault["msg"].removeprefix("Value error, ")
        described = Settings.model_fields[field].description
        raise BadSetting(
            PREFIX + field.upper(),
            _shown(field, fault["input"]),
            f"{reason[0].lower()}{reason[1:]} ({described})",
            field,
        ) from None  # the original shows the value, which may hold a password


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment that starts a child with these very settings."""
    env = dict(os.environ)
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is None:
            env.pop(PREFIX + name.upper(), None)
        else:
            env[PREFIX + name.upper()] = str(value)
    return env


def _usable(url: SecretStr) -> SecretStr:
    """Return an address whose parts make sense.

    Raises:
        ValueError: one of them doesn't.
    """
    parts = urlsplit(url.get_secret_value())  # raises for what is no address at all
    if parts.scheme in ("redis", "rediss"):
        if not parts.hostname:
            raise ValueError("name a host")
        if parts.path.strip("/") and not parts.path[1:].isdecimal():
            raise ValueError("what follows the host is the number of a database")
        _ = parts.port  # raises for what is no port
    return url


def _shown(field: str, value: object) -> object:
    """Return a refused value as it may be logged."""
    if field != "redis_url":
        secret = SecretStr in get_args(Settings.model_fields[field].annotation)
        return "…" if secret else value
    try:
        parts = urlsplit(str(value))
    except ValueError:
        return "…"
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
