"""Rooms: memory that is asked for once, and free again when nobody holds it."""

from dataclasses import replace
from weakref import ref

import torch

from dream_core.executors import Plan, rooms
from dream_core.executors.rooms import SMALLEST, Rooms

SIDE = 64
CHANNELS = SMALLEST // (SIDE * SIDE * 4)


def address(found: torch.Tensor) -> int:
    """Return where its first value lies."""
    return found.untyped_storage().data_ptr()


def test_a_room_is_let_again_once_its_tensor_is_gone() -> None:
    """A step writes on the pages of the step before."""
    house = Rooms()
    first = house.features(torch.float32, CHANNELS, SIDE, SIDE)
    lies = address(first)
    del first

    again = house.features(torch.bfloat16, 2 * CHANNELS, SIDE, SIDE)

    assert again.shape == (1, 2 * CHANNELS, SIDE, SIDE)
    assert again.is_contiguous(memory_format=torch.channels_last)
    assert address(again) == lies


def test_a_room_stays_let_while_any_view_of_it_is_held() -> None:
    """Features that were asked for are seen through views, long after their layer has run."""
    house = Rooms()
    first = house.features(torch.float32, CHANNELS, SIDE, SIDE).fill_(1)
    view = first.flatten(2)[0, :, 7:9]
    del first

    house.features(torch.float32, CHANNELS, SIDE, SIDE).fill_(2)

    assert bool((view == 1).all())


def test_a_larger_room_takes_the_place_of_one_that_is_too_small() -> None:
    """Else each size would keep one of its own."""
    house = Rooms()
    for factor in (1, 2, 3):
        house.features(torch.float32, factor * CHANNELS, SIDE, SIDE)

    assert [len(room) for room in house._free] == [3 * SMALLEST]


def test_rooms_are_gone_with_the_plan_that_they_were_taken_under() -> None:
    """A worker that waits for its next dream holds nothing of the last one's."""
    plan = replace(Plan.make(torch.device("cpu"), torch.float32), cpu="of this test alone")
    with plan.held():
        lies = address(rooms.features(torch.float32, CHANNELS, SIDE, SIDE))
    with plan.held():
        assert address(rooms.features(torch.float32, CHANNELS, SIDE, SIDE)) == lies
        house = ref(rooms._current.get())

    del plan

    assert house() is None
