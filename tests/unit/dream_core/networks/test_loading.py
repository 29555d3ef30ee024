from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dream_core.errors import ModelRefused
from dream_core.networks import load_network
from tests.thin import random_picture, random_weights, thin_model


def test_a_file_and_a_mapping_make_the_same_network(tmp_path: Path) -> None:
    """A tensor that the model doesn't know is left alone."""
    model, file = thin_model(), tmp_path / "weights.safetensors"
    weights = random_weights(model, 1)
    save_file({**weights, "fc6.weight": torch.zeros(2, 2)}, file)
    picture = random_picture(1, 20, 30)

    from_file, _ = load_network(model, file, pooling="max").forward(picture, ["relu3_1"])

    from_mapping, _ = load_network(model, weights, pooling="max").forward(picture, ["relu3_1"])
    assert torch.equal(from_file["relu3_1"], from_mapping["relu3_1"])


def test_a_missing_tensor_is_named() -> None:
    """Even one of a layer deeper than any that will be asked for: the file is not the model's."""
    weights = random_weights(thin_model(), 1)
    del weights["conv5_4.bias"]

    with pytest.raises(ModelRefused, match=r"vgg19: there is no tensor 'conv5_4\.bias'"):
        load_network(thin_model(), weights, pooling="max")


def test_a_tensor_of_another_shape_is_named_with_both_shapes() -> None:
    """A wider network's weights must not fail somewhere inside torch."""
    weights = random_weights(thin_model(), 1)
    weights["conv1_2.weight"] = torch.zeros(10, 9, 3, 3)

    with pytest.raises(ModelRefused, match=r"\(10, 9, 3, 3\), the model needs \(10, 10, 3, 3\)"):
        load_network(thin_model(), weights, pooling="max")


def test_a_file_that_is_not_safetensors_is_refused_by_name(tmp_path: Path) -> None:
    """A cut download, a pickle, a page of HTML."""
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"\x80\x02}q\x00.")

    with pytest.raises(ModelRefused, match=r"weights\.safetensors: it isn't safetensors"):
        load_network(thin_model(), file, pooling="max")
