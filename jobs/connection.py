"""Where Redis is, for the two that ask: redis-py (the ledger) and kombu (Celery's messages)."""

from urllib.parse import quote, urlsplit, urlunsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from jobs.settings import Settings
from jobs.valkey import socket_url

# A request waits no longer than this for a Redis that is away; what must outlast an outage
# (the worker's endings, the reaper) tries again itself.
_RETRY = Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), retries=3)


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


def connect(settings: Settings) -> redis.Redis:
    """Return a client of the ledger's Redis; it connects when first asked."""
    client: redis.Redis = redis.Redis.from_url(
        client_url(settings),
        decode_responses=True,
        socket_timeout=30,
        socket_connect_timeout=5,
        health_check_interval=15,
        retry=_RETRY,
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
