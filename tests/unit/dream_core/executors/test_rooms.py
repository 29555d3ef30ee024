"""Rooms: memory that is asked for once, and free again when nobody holds it."""

import platform
import subprocess
import sys
from dataclasses import replace
from errno import ENOMEM
from mmap import mmap
from weakref import ref

import pytest
import torch

from dream_core.executors import Plan, rooms
from dream_core.executors.memory import ran_out
from dream_core.executors.rooms import RESERVED, SMALLEST, Rooms
from dream_core.forms.over import LARGE

SIDE = 64
CHANNELS = SMALLEST // (SIDE * SIDE * 4)
# Where a block of torch's own lay, and from where to where the heap reaches after it has gone.
HEAP = """
import torch
from dream_core.executors import strips

strips.with_neighbours(torch.relu)
lay = torch.empty(24 << 20, dtype=torch.uint8).data_ptr()
with open("/proc/self/maps") as maps:
    heap = next(line for line in maps if line.endswith("[heap]\\n"))
print(lay, *(int(at, 16) for at in heap.split()[0].split("-")))
"""


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


def test_what_is_free_again_is_one_with_its_neighbours() -> None:
    """Else each size would keep a place of its own: more memory than is held at once."""
    house = Rooms()
    rooms = [house.features(torch.float32, CHANNELS, SIDE, SIDE) for _ in range(4)]
    lies = [address(room) for room in rooms]
    last = rooms.pop()
    while rooms:
        rooms.pop(len(rooms) // 2)  # the middle one, the last, the first

    larger = house.features(torch.float32, 3 * CHANNELS, SIDE, SIDE)
    beyond = house.features(torch.float32, CHANNELS, SIDE, SIDE)

    assert address(larger) == lies[0]
    assert address(last) == lies[3]
    assert address(beyond) == lies[3] + SMALLEST


def test_what_is_read_and_what_is_made_of_it_lie_at_both_ends_of_what_is_free() -> None:
    """So when the former goes, the next finds one stretch: five of them here, and no sixth."""
    house = Rooms()
    lies = address(house.features(torch.float32, 5 * CHANNELS, SIDE, SIDE))

    read = house.features(torch.float32, 2 * CHANNELS, SIDE, SIDE)
    made = house.features(torch.float32, CHANNELS, SIDE, SIDE)
    assert address(read) == lies
    del read
    larger = house.features(torch.float32, 4 * CHANNELS, SIDE, SIDE)

    assert address(made) == lies + 4 * SMALLEST
    assert address(larger) == lies


def test_a_large_room_has_a_stripe_to_spare_where_one_is_wanted() -> None:
    """Who comes next writes there, and who comes then where the first was: all in one room."""
    house, height = Rooms(), 256
    first = house.features(torch.float32, 512, height, LARGE // (height * 512 * 4), spare=True)

    second = rooms.over(first)
    assert second is not None
    third = rooms.over(second)
    lies = address(first)
    del first, second
    beyond = house.features(torch.float32, CHANNELS, SIDE, SIDE)

    assert third is not None
    assert third.is_contiguous(memory_format=torch.channels_last)
    assert third.data_ptr() == lies
    assert address(beyond) == lies + LARGE * (height + 33) // height
    del third
    assert address(house.features(torch.float32, CHANNELS, SIDE, SIDE)) == lies


def test_over_a_tensor_without_rows_to_spare_there_is_no_room() -> None:
    """It was small, nobody wanted them, or it is a part of another, whose rows lie around it."""
    house, height = Rooms(), 256
    wide = LARGE // (height * 512 * 4)
    let = [
        house.features(torch.float32, CHANNELS, SIDE, SIDE, spare=True),
        house.features(torch.float32, 512, height, wide),
        house.features(torch.float32, 512, 2 * height, wide)[:, :, :height],
        house.features(torch.float32, 512, 2 * height, wide, spare=True)[:, :, height:],
        torch.empty(1, height, wide, 512).permute(0, 3, 1, 2),
    ]

    assert [rooms.over(tensor) for tensor in let] == [None] * len(let)


@pytest.mark.parametrize("more", [0, 1, rooms.AT_FIRST + 3])
def test_shorter_numbers_are_written_over_longer_ones(more: int) -> None:
    """What is pulled at features is shortened where it lies: beside it there may be no room."""
    channels, height, width = 2, 2 * rooms.AT_FIRST + more, 3
    whole = Rooms().features(torch.float32, channels, height, width)
    whole.copy_(torch.randn(1, channels, height, width))
    meant = whole.to(torch.bfloat16)

    found = rooms.converted(whole, torch.bfloat16, over=True)

    assert found.data_ptr() == whole.data_ptr()
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(found, meant)


def test_nothing_is_written_over_but_what_may_be() -> None:
    """Features are read again; what doesn't lie flat has others' numbers in between."""
    whole = Rooms().features(torch.float32, 2 * CHANNELS, SIDE, SIDE).fill_(3)
    part = whole[:, :CHANNELS]

    read = rooms.converted(whole, torch.bfloat16)
    cut = rooms.converted(part, torch.bfloat16, over=True)
    longer = rooms.converted(read, torch.float32, over=True)

    lies = [each.untyped_storage().data_ptr() for each in (whole, read, cut, longer)]
    assert len(set(lies)) == len(lies)
    assert all(bool((each == 3).all()) for each in (whole, read, cut, longer))


def test_what_lies_in_a_room_is_known_by_its_place() -> None:
    """Its place is let again in the order of the calls; anything else's may be anybody's."""
    house = Rooms()
    with rooms.lent(house):
        let = rooms.features(torch.float32, CHANNELS, SIDE, SIDE)
        assert rooms.let_here(let)
        assert rooms.let_here(let[:, :, SIDE - 1 :])
        assert not rooms.let_here(rooms.features(torch.float32, 1, SIDE, SIDE))
        assert not rooms.let_here(Rooms().features(torch.float32, CHANNELS, SIDE, SIDE))

    assert not rooms.let_here(let)


def test_where_addresses_are_counted_as_memory_only_what_is_needed_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that refuses to promise more than it has runs the dream all the same."""
    taken: list[int] = []

    def few(size: int) -> mmap:
        taken.append(size)
        if size > 10 * SMALLEST:
            raise OSError("Cannot allocate memory")
        return mmap(-1, size)

    monkeypatch.setattr(rooms, "_addresses", few)
    house = Rooms()

    found = [house.features(torch.float32, CHANNELS, SIDE, SIDE).fill_(n) for n in range(2)]

    assert taken == [RESERVED, SMALLEST] * 2
    assert [room.unique().tolist() for room in found] == [[0.0], [1.0]]


def test_where_there_is_not_even_that_memory_has_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a limit on addresses has it (`ulimit -v`); the dream goes on in a smaller form then."""

    def none(size: int) -> mmap:
        raise OSError(ENOMEM, f"Cannot allocate {size} bytes")

    monkeypatch.setattr(rooms, "_addresses", none)

    with pytest.raises(MemoryError, match=f"no {SMALLEST} bytes") as caught:
        Rooms().features(torch.float32, CHANNELS, SIDE, SIDE)

    assert ran_out(caught.value)


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep what they like")
def test_what_torch_takes_itself_lies_in_pages_that_stay() -> None:
    """In the heap, and not in fresh pages each time; what is given back is still the heap's."""
    told = subprocess.run([sys.executable, "-c", HEAP], capture_output=True, text=True, check=True)

    lay, begin, end = map(int, told.stdout.split())
    assert begin < lay < lay + (24 << 20) <= end
