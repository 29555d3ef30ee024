import pytest
import torch
from torch.testing import assert_close

from dream_core.architectures import BUILT_IN
from dream_core.networks.preprocess import Preprocess
from tests.thin import random_picture


@pytest.mark.parametrize("model", ["vgg19", "inception_v3"])
def test_a_picture_of_many_chunks_is_what_the_rule_says_and_so_is_the_way_back(model: str) -> None:
    """Planes of 60,501 pixels: two chunks each, the second one short."""
    rule = BUILT_IN[model].preprocessing
    preprocess = Preprocess(rule, torch.device("cpu"), torch.float64)
    picture = random_picture(1, 201, 301).double()
    before = picture.clone()

    eaten = preprocess.apply(picture)

    order = ["RGB".index(channel) for channel in rule.order]
    mean, std = (
        torch.tensor(each, dtype=torch.float64).view(3, 1, 1) for each in (rule.mean, rule.std)
    )
    assert_close(eaten, ((rule.scale * picture[order] - mean) / std).unsqueeze(0))
    assert torch.equal(picture, before)
    # Linear but for its constant: ⟨pull, change of what is eaten⟩ = ⟨pulled back, change⟩.
    pull, other = random_picture(2, 201, 301).double(), random_picture(3, 201, 301).double()
    along = float((pull * (preprocess.apply(other) - eaten)[0]).sum())
    assert float((preprocess.pull_back(pull.unsqueeze(0)) * (other - picture)).sum()) == (
        pytest.approx(along, rel=1e-12)
    )


def test_a_gradient_of_16_bit_is_widened_before_it_is_scaled() -> None:
    """256 times a bfloat16 is exact only because 256 is a power of two; other scales are not."""
    rule = BUILT_IN["inception_v3"].preprocessing
    preprocess = Preprocess(rule, torch.device("cpu"), torch.float32)
    gradient = random_picture(1, 5, 7).to(torch.bfloat16).unsqueeze(0)

    pulled = preprocess.pull_back(gradient)

    assert pulled.dtype == torch.float32
    assert torch.equal(pulled, preprocess.pull_back(gradient.float()))
