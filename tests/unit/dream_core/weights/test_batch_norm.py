"""Folding batch norm into the convolution before it."""

import numpy as np
import pytest
import torch
from torch import nn

from dream_core.weights.batch_norm import fold


@pytest.mark.parametrize("has_scale", [True, False])
def test_a_folded_convolution_does_the_work_of_both(has_scale: bool) -> None:
    """Grouped, with and without a learned scale; what is left is one rounding to float32."""
    torch.manual_seed(1)
    convolution = nn.Conv2d(6, 8, (3, 2), groups=2, bias=False).requires_grad_(False)
    norm = nn.BatchNorm2d(8, eps=0.01).requires_grad_(False).eval()
    for tensor in (norm.weight, norm.running_var):
        tensor.uniform_(0.1, 2.0)
    for tensor in (norm.bias, norm.running_mean):
        tensor.normal_()
    if not has_scale:
        norm.weight.fill_(1.0)

    weight, bias = fold(
        convolution.weight.numpy(),
        scale=norm.weight.numpy() if has_scale else None,
        shift=norm.bias.numpy(),
        mean=norm.running_mean.numpy(),
        variance=norm.running_var.numpy(),
        epsilon=0.01,
    )

    picture = torch.randn(1, 6, 7, 9, dtype=torch.float64)
    both = norm.double()(convolution.double()(picture))
    folded = nn.functional.conv2d(
        picture, torch.from_numpy(weight).double(), torch.from_numpy(bias).double(), groups=2
    )
    assert (weight.dtype, bias.dtype) == (np.float32, np.float32)
    torch.testing.assert_close(folded, both, atol=1e-6, rtol=1e-6)
