"""Reading a TorchScript archive without its program."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dream_core.architectures.inception_v3 import BEFORE_RELU, inception_v3
from dream_core.errors import ModelRefused
from dream_core.weights.inception import convert_inception

UNITS = [
    layer.name.removesuffix(BEFORE_RELU) for layer in inception_v3() if layer.kind == "convolution"
]


class Unit(nn.Module):
    """A convolution with batch norm, as the archive's program has them; one channel will do."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, 1, 2), float(number)))
        self.beta = nn.Parameter(torch.tensor([0.5]))
        self.mean = nn.Parameter(torch.tensor([2.0]))
        self.var = nn.Parameter(torch.tensor([0.249]))  # 0.25 with the epsilon of 0.001

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Do nothing: programs are not run here."""
        return picture


class Nest(nn.Module):
    """Modules by name, nested one level as the program's towers are."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        """Do nothing: programs are not run here."""
        return picture


def write_archive(path: Path, *, without: str = "") -> Path:
    """Write, with torch's own `jit.save`, an archive with all the units but one."""
    flat = {
        unit.replace("/", "_"): Unit(number)
        for number, unit in enumerate(UNITS)
        if unit != without and not unit.startswith("mixed_10/")
    }
    last = {
        unit.removeprefix("mixed_10/").replace("/", "_"): Unit(number)
        for number, unit in enumerate(UNITS)
        if unit.startswith("mixed_10/")
    }
    network = Nest({"net": Nest({"layers": Nest({**flat, "mixed_10": Nest(last)})})})
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.script(network).save(str(path))
    return path


def write_pickle(path: Path, content: bytes) -> Path:
    """Write an archive that holds nothing but a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return path


def test_every_convolution_gets_its_own_numbers_folded(tmp_path: Path) -> None:
    """By the path of its fields, nested or not; the batch norm has no scale of its own."""
    tensors = convert_inception(write_archive(tmp_path / "whole.pt"))

    assert len(tensors) == 2 * len(UNITS)
    for number, unit in enumerate(UNITS):
        weight, bias = (tensors[f"{unit}{BEFORE_RELU}.{part}"] for part in ("weight", "bias"))
        np.testing.assert_allclose(weight, np.full((1, 1, 1, 2), 2.0 * number), rtol=1e-6)
        np.testing.assert_allclose(bias, [0.5 - 2.0 * 2.0], rtol=1e-6)


def test_an_archive_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    """The refusal names what is missing."""
    with pytest.raises(ModelRefused, match="there is no tensor 'mixed_3_tower_conv_weight'"):
        convert_inception(write_archive(tmp_path / "most.pt", without="mixed_3/tower/conv"))


class Command:
    """Runs a command when it is unpickled by anyone less careful."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Pickle as a call of `os.system`."""
        return os.system, (self.command,)


def test_a_pickle_that_runs_a_command_is_refused_before_it_runs(tmp_path: Path) -> None:
    """A pickle is never loaded unrestricted."""
    proof = tmp_path / "ran"
    archive = write_pickle(tmp_path / "evil.pt", pickle.dumps(Command(f"touch {proof}"), 2))

    with pytest.raises(ModelRefused, match="has no place in it"):
        convert_inception(archive)

    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"\x80\x02N.", b"\x80\x02}q\x00."])
def test_a_pickle_that_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty, cut short, or about something else: one kind of error, naming the file."""
    with pytest.raises(ModelRefused, match=r"odd\.pt: not the TorchScript archive it should be"):
        convert_inception(write_pickle(tmp_path / "odd.pt", content))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    """Such as a page that says the file has moved."""
    page = tmp_path / "page.pt"
    page.write_text("<html>")

    with pytest.raises(ModelRefused, match=r"page\.pt"):
        convert_inception(page)
