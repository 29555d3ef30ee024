import pytest
import torch

from dream_core.chunks import ALONE, chunks


def test_chunks_are_the_tensor_itself_each_small_enough_for_one_thread() -> None:
    """In order, and what is written on them is written on it."""
    tensor = torch.arange(3 * 200 * 201, dtype=torch.float32).view(3, 200, 201)
    before = tensor.clone()

    found = chunks(tensor)

    assert len(found) > 2
    assert max(len(chunk) for chunk in found) <= ALONE
    assert torch.equal(torch.cat(found), before.flatten())
    for chunk in found:
        chunk.neg_()
    assert torch.equal(tensor, -before)


def test_what_is_not_in_one_piece_is_refused() -> None:
    """A crop, whose chunks would be copies."""
    with pytest.raises(RuntimeError, match="view"):
        chunks(torch.zeros(3, 8, 9)[:, 2:5, 1:4])
