"""What a power cut may leave of Redis' own file: the server comes up, nothing readable is lost."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs import aof
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.queue import celery_app, publisher
from jobs.reaper import Reaper
from jobs.settings import Settings
from jobs.store import Picture, Store
from jobs.valkey import arguments, wait_until_up

KNOWN = [f"key {number}" for number in range(200)]


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """The settings of a stack with a server of its own."""
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def left(own: Settings, picture: Picture, start: Callable) -> str:
    """A data folder as a killed server leaves it, with one dream; its id."""
    with start("jobs.valkey", own) as child:
        client = connect(own)
        wait_until_up(client)
        client.mset(dict.fromkeys(KNOWN, "x" * 50))
        store = Store(own.data_dir)
        job = Ledger(client, store, publisher(celery_app(own))).accept(DreamSpec(), picture)
        client.waitaof(1, 0, 0)
        child.kill()
    return job.id


def file_of(own: Settings, kind: str) -> Path:
    """Return a part of the append-only file."""
    (found,) = (own.data_dir / "valkey" / "appendonlydir").glob(f"*{kind}*")
    return found


def cut(own: Settings) -> None:
    """Cut off the last command in its middle."""
    file = file_of(own, "incr")
    file.write_bytes(file.read_bytes()[:-7])


def garbage(own: Settings) -> None:
    """Put something else in its middle."""
    file = file_of(own, "incr")
    data = file.read_bytes()
    file.write_bytes(data[:5000] + b"\0" * 512 + data[5512:])


def zeros(own: Settings) -> None:
    """Let it end in a block of zeros, as some file systems do."""
    file = file_of(own, "incr")
    file.write_bytes(file.read_bytes() + b"\0" * 4096)


def half_a_base(own: Settings) -> None:
    """Leave half of what it begins with."""
    file = file_of(own, "base")
    file.write_bytes(file.read_bytes()[:-20])


def no_manifest(own: Settings) -> None:
    """Leave its list of files empty."""
    file_of(own, "manifest").write_bytes(b"")


def a_part_gone(own: Settings) -> None:
    """Lose one of its files."""
    file_of(own, "incr").unlink()


def served(own: Settings, start: Callable) -> tuple[set[str], list[str]]:
    """Start the server and let a reaper fill it; return its own keys, and the dreams there are."""
    with start("jobs.valkey", own):
        client: redis.Redis = connect(own)
        wait_until_up(client)
        keys = set(client.keys("key *"))
        ledger = Ledger(client, Store(own.data_dir), publisher(celery_app(own)))
        Reaper(client, ledger, Store(own.data_dir)).sweep()
        return keys, [job.id for job in ledger.newest(10)[0]]


def test_a_tail_that_was_cut_off_costs_the_last_command(
    own: Settings, left: str, start: Callable
) -> None:
    """Everything before it is as it was, and nothing is set aside."""
    cut(own)

    keys, dreams = served(own, start)

    assert keys == set(KNOWN)
    assert dreams == [left]
    assert not Store(own.data_dir).aside.exists()


@pytest.mark.parametrize("spoil", [garbage, zeros, half_a_base, no_manifest, a_part_gone])
def test_a_file_that_can_not_be_read_is_set_aside_and_the_folders_fill_redis_again(
    own: Settings,
    left: str,
    start: Callable,
    spoil: Callable[[Settings], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is said in a line, with the place; whoever wants may mend it there."""
    spoil(own)
    spoiled = file_of(own, "base").read_bytes()

    keys, dreams = served(own, start)

    (kept,) = Store(own.data_dir).aside.iterdir()
    assert (keys, dreams) == (set(), [left])
    assert [path.read_bytes() for path in kept.glob("*base*")] == [spoiled]
    said = capfd.readouterr().err
    assert "valkey: what Redis had written can't be read (" in said
    assert f"it is kept as {kept}" in said


def test_leftovers_of_a_killed_server_keep_none_from_starting(
    own: Settings, left: str, start: Callable
) -> None:
    """Its socket, its lock, the socket of a trial, half a rewritten file."""
    folder = own.data_dir / "valkey"
    assert {"valkey.sock", "lock"} <= {path.name for path in folder.iterdir()}
    (folder / "valkey.sock.t").touch()
    (folder / "appendonlydir" / "temp-1.aof").write_bytes(b"half")

    assert served(own, start) == (set(KNOWN), [left])


def test_a_trial_leaves_no_server_behind(own: Settings, left: str) -> None:
    """Two on one folder would fork the truth."""
    assert left

    assert aof.check(arguments(own.data_dir), own.data_dir) == ""

    told = subprocess.run(
        ["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True
    )
    assert str(own.data_dir) not in told.stdout
