"""Where Redis is, for the two that ask: redis-py (the ledger) and kombu (Celery's messages)."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from jobs.settings import Settings
from jobs.valkey import socket_url

_PASSING: Final = (redis.ConnectionError, redis.TimeoutError)


@dataclass(frozen=True)
class Patience:
    """How long a Redis is waited for that is away, or that takes bytes and never answers."""

    silence_s: float  # longest wait for one answer
    tries: int  # more, after the first
    # Connections are tried inside of calls, and redis-py multiplies the two: three tries of 1 s
    # were 10 s for a new connection to a server that never answers.
    silence_is_final: bool = True

    @property
    def message_s(self) -> float:
        """Longest silence of the broker: kombu hands a message over twice before it gives up."""
        return self.silence_s / 2 if self.silence_is_final else self.silence_s

    @property
    def retry(self) -> Retry:
        """The tries as redis-py counts them."""
        errors = (redis.ConnectionError,) if self.silence_is_final else _PASSING
        return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), self.tries, errors)


# What must outlast an outage (the worker's endings, the reaper) tries again itself, without end.
WORKER: Final = Patience(silence_s=30, tries=3, silence_is_final=False)
REQUEST: Final = Patience(silence_s=2, tries=3)  # somebody waits for the answer
PROBE: Final = Patience(silence_s=1, tries=0)  # who asks /readyz has a timeout of his own


def client_url(settings: Settings) -> str:
    """Return redis-py's form of the address, with its password."""
    if settings.redis_url is None:
        return socket_url(settings.data_dir)
    url = settings.redis_url.get_secret_value().replace("redis+socket://", "unix://", 1)
    url = url.replace("virtual_host=", "db=", 1)  # kombu's word for the database
    return _with_password(url, settings)


def broker_url(settings: Settings) -> str:
    """Return kombu's form of the same address."""
    scheme, rest = client_url(settings).split("://", 1)
    if scheme != "unix":
        return f"{scheme}://{rest}"
    return f"redis+socket://{rest.replace('?db=', '?virtual_host=', 1)}"


def shown_url(settings: Settings) -> str:
    """Return the address as it may be logged: without a password."""
    parts = urlsplit(client_url(settings))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def connect(settings: Settings, patience: Patience = WORKER) -> redis.Redis:
    """Return a client of the ledger's Redis; it connects when first asked."""
    client: redis.Redis = redis.Redis.from_url(
        client_url(settings),
        decode_responses=True,
        socket_timeout=patience.silence_s,
        socket_connect_timeout=min(patience.silence_s, 5),
        health_check_interval=15,
        retry=patience.retry,
    )
    return client


def _with_password(url: str, settings: Settings) -> str:
    parts = urlsplit(url)
    if settings.redis_password is None or parts.password is not None:
        return url
    password = quote(settings.redis_password.get_secret_value(), safe="")
    user = parts.username or ""
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{address}"))
