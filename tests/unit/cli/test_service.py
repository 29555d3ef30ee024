import os
import socket
from pathlib import Path

import pytest

from cli.demo import own_settings
from cli.errors import PortTaken
from cli.up.service import claim_port, plans, url_of
from jobs.errors import BadSetting
from jobs.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give settings that owe nothing to the environment."""
    for name in [name for name in os.environ if name.startswith("DREAM_")]:
        monkeypatch.delenv(name)
    return load(data_dir=tmp_path / "data", port=8123, workers=2, device="cpu")


def test_valkey_starts_first_and_stops_last(settings: Settings) -> None:
    """Everyone else needs it from their first to their last moment."""
    rooms = plans(settings)

    assert [room.name for room in rooms] == ["valkey", "api", "worker-0", "worker-1"]
    assert [room.carries_others for room in rooms] == [True, False, False, False]


def test_a_redis_of_ones_own_needs_no_valkey(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rooms otherwise, told where it is."""
    monkeypatch.setenv("DREAM_REDIS_URL", "redis://localhost:6380/2")

    rooms = plans(load(data_dir=settings.data_dir))

    assert [room.name for room in rooms] == ["api", "worker"]
    assert {room.environment["DREAM_REDIS_URL"] for room in rooms} == {"redis://localhost:6380/2"}


def test_every_room_is_given_the_very_settings(settings: Settings) -> None:
    """An option of `dream up` reaches the worker as if the environment had said it."""
    *_, last = plans(settings)

    assert last.environment["DREAM_DEVICE"] == "cpu"
    assert last.environment["DREAM_PORT"] == "8123"
    assert last.environment["DREAM_WORKER_SLOT"] == "1"


def test_only_the_api_is_given_the_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker answers no one, and what it fetches weights with is none of our programs."""
    monkeypatch.setenv("DREAM_API_KEY", "swordfish" * 3)

    told = {room.name: room.environment for room in plans(load(data_dir=settings.data_dir))}

    assert told["api"]["DREAM_API_KEY"] == "swordfish" * 3
    assert "swordfish" not in f"{told['valkey']} {told['worker']}"


def test_rooms_start_by_our_own_modules_whatever_folder_one_is_in(settings: Settings) -> None:
    """-P keeps the current folder out of Python's path."""
    assert [room.command[1:] for room in plans(settings)[:3]] == [
        ("-P", "-m", "jobs.valkey"),
        ("-P", "-m", "api"),
        ("-P", "-m", "worker"),
    ]


def test_an_address_of_ipv6_stands_in_brackets(settings: Settings) -> None:
    """As URLs want it."""
    assert url_of(settings) == "http://127.0.0.1:8123"
    assert url_of(settings.model_copy(update={"host": "::1"})) == "http://[::1]:8123"


def test_what_listens_everywhere_is_asked_on_loopback(settings: Settings) -> None:
    """The supervisor's own question never leaves the machine."""
    everywhere = [settings.model_copy(update={"host": host}) for host in ("0.0.0.0", "::")]

    assert [url_of(each) for each in everywhere] == ["http://127.0.0.1:8123", "http://[::1]:8123"]


def test_a_port_that_is_taken_is_refused_with_another_to_try() -> None:
    """Before anything has started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
            claim_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "nowhere.invalid"])
def test_an_address_of_another_machine_is_no_taken_port(host: str) -> None:
    """The sentence names the setting that is wrong."""
    with pytest.raises(BadSetting, match=f"DREAM_HOST is '{host}': .*address of this machine"):
        claim_port(host, 0)


def test_the_demo_has_no_door_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks itself, on loopback, and knows no key to send."""
    monkeypatch.setenv("DREAM_API_KEY", "x")
    monkeypatch.setenv("DREAM_PUBLISH", "0.0.0.0")

    assert own_settings(Path(), "cpu").check_host().key() is None


def test_port_zero_is_a_free_one() -> None:
    """What the demo and the tests run on."""
    assert 1024 <= claim_port("127.0.0.1", 0) <= 65_535
