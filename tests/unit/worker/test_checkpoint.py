from errno import ENOSPC
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from dream_core.errors import StateRefused
from worker.checkpoint import Torn, pack, resume, states, unpack

STATE = {"iteration": 7, "plan": {"threads": 2}, "picture": torch.arange(6.0).reshape(3, 1, 2)}


class Dream:
    """A dream that takes any state, but for those it refuses."""

    def __init__(self, refused: int | None = None) -> None:
        self.refused, self.loaded = refused, None

    def load_state_dict(self, state: Any) -> None:
        if state["iteration"] == self.refused:
            raise StateRefused("spec", 1, 2)
        self.loaded = state


def packed(state: dict[str, Any]) -> bytes:
    """Return the bytes of a state's file."""
    file = BytesIO()
    pack(state, file)
    return file.getvalue()


def read(data: bytes) -> dict[str, Any]:
    """Return the state in a file's bytes."""
    return unpack(BytesIO(data))


class Disk(BytesIO):
    """A disk with so much room."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: Any) -> int:
        if self.tell() + memoryview(data).nbytes > self.room:
            raise OSError(ENOSPC, "No space left on device")
        return super().write(data)


def files(folder: Path, **contents: bytes) -> list[Path]:
    """Write files and return their paths, in that order."""
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_a_state_comes_back_bit_by_bit() -> None:
    """What goes on from a file goes on as if there had been none."""
    state = read(packed(STATE))

    assert torch.equal(state.pop("picture"), STATE["picture"])
    assert state == {"iteration": 7, "plan": {"threads": 2}}


@pytest.mark.parametrize("length", [0, 10, 60, 100, -1])
def test_a_torn_state_is_refused(length: int) -> None:
    """At whatever byte it ends: a picture that is half old would be a frame that never was."""
    with pytest.raises(Torn):
        read(packed(STATE)[:length])


def test_a_state_with_another_byte_is_refused() -> None:
    """A disk that lies is found out."""
    data = packed(STATE)
    with pytest.raises(Torn):
        read(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])


@pytest.mark.parametrize("room", [0, 100, 700, 1500])
def test_a_full_disk_is_said_to_be_full(room: int) -> None:
    """Wherever it refuses: torch would only say that its file isn't where it should be."""
    assert len(packed(STATE)) > 1500
    with pytest.raises(OSError, match="No space left on device"):
        pack(STATE, Disk(room))


def test_a_state_of_another_version_is_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker of next year saved it: the dream goes on from one that is ours, the file stays."""
    later = packed({**STATE, "iteration": 9}).replace(b"checkpoint 1", b"checkpoint 2", 1)
    there = files(tmp_path, later=later, ours=packed(STATE))

    found = list(states(there))

    assert [state["iteration"] for state in found] == [7]
    assert "checkpoint later is left: it has version 2, this release knows 1" in caplog.text
    assert there[0].read_bytes() == later


def test_the_state_before_is_used_where_the_last_can_not_be(tmp_path: Path) -> None:
    """Torn, refused by the engine, gone: each costs some iterations and not the job."""
    seven, five, three = (packed({**STATE, "iteration": at}) for at in (7, 5, 3))
    dream = Dream(refused=5)

    there = files(tmp_path, torn=seven[:-1], refused=five, good=three)
    found = resume(dream, {"threads": 2}, states([tmp_path / "gone", *there]))

    assert found == {"threads": 2}
    assert dream.loaded is not None
    assert dream.loaded["iteration"] == 3


def test_without_any_state_a_dream_begins_at_its_source(tmp_path: Path) -> None:
    """None is no error: it is how every dream begins."""
    dream = Dream()

    assert resume(dream, {}, states(files(tmp_path, torn=b""))) is None
    assert dream.loaded is None


def test_a_state_of_another_plan_is_taken_over(tmp_path: Path) -> None:
    """On another kind of machine the job goes on, though not to the same bits."""
    dream = Dream()

    found = resume(dream, {"threads": 4}, states(files(tmp_path, state=packed(STATE))))

    assert found == {"threads": 2}  # who asks sees the change
    assert dream.loaded is not None
    assert dream.loaded["plan"] == {"threads": 4}
