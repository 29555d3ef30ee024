from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu import Connection
from kombu.transport.redis import Channel

from jobs.connection import broker_url, client_url, shown_url
from jobs.settings import Settings


def asked(url: str) -> dict[str, object]:
    """Return where redis-py would connect."""
    return place(redis.ConnectionPool.from_url(url).connection_kwargs)


def messaged(url: str) -> dict[str, object]:
    """Return where kombu would connect; its channel does so when made, so it is made by hand."""
    channel = Channel.__new__(Channel)
    channel.connection = SimpleNamespace(client=Connection(url), default_port=6379)
    return place(channel._connparams())


def place(arguments: Mapping[str, Any]) -> dict[str, object]:
    """Return what decides where a connection leads; each library has its way to leave out db 0."""
    named = {name: arguments.get(name) for name in ("path", "host", "port", "password")}
    return {**named, "db": arguments.get("db") or 0}


@pytest.mark.parametrize(
    "url",
    [
        "redis://queue:6380/3",
        "redis://:swordfish@queue:6379/0",
        "unix:///run/valkey.sock?db=2",
        "redis+socket:///run/valkey.sock?virtual_host=2",
    ],
)
def test_ledger_and_messages_are_in_the_same_place(url: str) -> None:
    """Either form of a URL leads both libraries to one database."""
    settings = Settings(redis_url=url)  # type: ignore[arg-type]

    assert asked(client_url(settings)) == messaged(broker_url(settings))


def test_the_embedded_server_is_found_in_a_folder_with_any_name() -> None:
    """Spaces, percent signs and umlauts of a home folder survive both URLs."""
    settings = Settings(data_dir=Path("/home/Zoë 100%/dreams"))

    assert asked(client_url(settings))["path"] == "/home/Zoë 100%/dreams/valkey/valkey.sock"
    assert messaged(broker_url(settings)) == asked(client_url(settings))


def test_a_password_beside_the_url_opens_both() -> None:
    """Compose keeps the password in a variable of its own; one in the URL wins."""
    beside = Settings(redis_url="redis://queue", redis_password="sword/fish")  # type: ignore[arg-type]
    inside = Settings(redis_url="redis://:url@queue", redis_password="no")  # type: ignore[arg-type]

    assert asked(client_url(beside))["password"] == "sword/fish"
    assert messaged(broker_url(beside))["password"] == "sword/fish"
    assert asked(client_url(inside))["password"] == "url"


def test_an_address_is_logged_without_its_password() -> None:
    """The start line says where the queue is, to whoever reads the log."""
    settings = Settings(redis_url="redis://me:swordfish@queue:6379/0")  # type: ignore[arg-type]

    assert shown_url(settings) == "redis://queue:6379/0"
