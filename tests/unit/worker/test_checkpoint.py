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


def files(folder: Path, **contents: bytes) -> list[Path]:
    """Write files and return their paths, in that order."""
    paths = [folder / name for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_a_state_comes_back_bit_by_bit() -> None:
    """What goes on from a file goes on as if there had been none."""
    state = unpack(pack(STATE))

    assert torch.equal(state.pop("picture"), STATE["picture"])
    assert state == {"iteration": 7, "plan": {"threads": 2}}


@pytest.mark.parametrize("length", [0, 10, 60, 100, -1])
def test_a_torn_state_is_refused(length: int) -> None:
    """At whatever byte it ends: a picture that is half old would be a frame that never was."""
    with pytest.raises(Torn):
        unpack(pack(STATE)[:length])


def test_a_state_with_another_byte_is_refused() -> None:
    """A disk that lies is found out."""
    data = pack(STATE)
    with pytest.raises(Torn):
        unpack(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])


def test_a_state_of_another_version_is_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker of next year saved it: the dream goes on from one that is ours, the file stays."""
    later = pack({**STATE, "iteration": 9}).replace(b"checkpoint 1", b"checkpoint 2", 1)
    there = files(tmp_path, later=later, ours=pack(STATE))

    found = list(states(there))

    assert [state["iteration"] for state in found] == [7]
    assert "checkpoint later is left: it has version 2, this release knows 1" in caplog.text
    assert there[0].read_bytes() == later


def test_the_state_before_is_used_where_the_last_can_not_be(tmp_path: Path) -> None:
    """Torn, refused by the engine, gone: each costs some iterations and not the job."""
    seven, five, three = (pack({**STATE, "iteration": at}) for at in (7, 5, 3))
    dream = Dream(refused=5)

    there = files(tmp_path, torn=seven[:-1], refused=five, good=three)
    found = resume(dream, {"threads": 2}, states([tmp_path / "gone", *there]))

    assert found is not None
    assert found["iteration"] == 3
    assert dream.loaded is not None


def test_without_any_state_a_dream_begins_at_its_source(tmp_path: Path) -> None:
    """None is no error: it is how every dream begins."""
    dream = Dream()

    assert resume(dream, {}, states(files(tmp_path, torn=b""))) is None
    assert dream.loaded is None


def test_a_state_of_another_plan_is_taken_over(tmp_path: Path) -> None:
    """On another kind of machine the job goes on, though not to the same bits."""
    dream = Dream()

    found = resume(dream, {"threads": 4}, states(files(tmp_path, state=pack(STATE))))

    assert found is not None
    assert (found["iteration"], found["plan"]) == (7, {"threads": 2})  # who asks sees the change
    assert dream.loaded is not None
    assert dream.loaded["plan"] == {"threads": 4}
