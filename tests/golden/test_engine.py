"""The 2015 program's own figures: every check of every case, within its stated limit."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dream_core import native
from dream_core.catalogue import Catalogue
from dream_core.dream import Dream
from dream_core.executors import REFERENCE, Plan, Way
from dream_core.executors.building import ways_here
from dream_core.model import Model, Pooling
from dream_core.native import library
from dream_core.networks import Network, load_network
from dream_core.picture import scale
from dream_core.spec import DreamSpec
from dream_core.weights.caffe import read_caffe
from tests.emulated import kernel_of

GOLDEN = Path(__file__).parent
CASES = json.loads((GOLDEN / "cases.json").read_text())
BY_NAME = {case["name"]: case for case in CASES}
CPU = torch.device("cpu")
OTHERS = [way for way in ways_here(CPU) if way.precision == "exact" and way != REFERENCE]
X0_LIMIT = 1e-5  # README.md, "Scaling"
EACH_CASE = pytest.mark.parametrize("name", list(BY_NAME))


def checks(kind: str) -> pytest.MarkDecorator:
    """Return one parameter set for every check of a kind in cases.json."""
    return pytest.mark.parametrize(
        ("name", "check"),
        [
            pytest.param(case["name"], check, id=f"{case['name']}-{check['iteration']}")
            for case in CASES
            for check in case[kind]
        ],
    )


@cache
def taken_in(file: str) -> tuple[Model, dict[str, torch.Tensor]]:
    """Read a caffemodel of the golden folder; both formats share the prototxt."""
    models = GOLDEN / "models"
    model, tensors = read_caffe(models / file, models / "thin_vgg19.prototxt", name="thin")
    return model, {name: torch.from_numpy(tensor.copy()) for name, tensor in tensors.items()}


@cache
def network(file: str, pooling: Pooling) -> Network:
    """Load a golden network once."""
    return load_network(*taken_in(file), pooling=pooling)


@cache
def figures(name: str) -> dict[str, np.ndarray]:
    """Return what the program computed."""
    with np.load(GOLDEN / "cases" / f"{name}.npz") as file:
        return dict(file)


def spec_of(case: dict[str, Any]) -> DreamSpec:
    """Return the case's options as a spec."""
    model, _ = taken_in(case["model"])
    data = {
        "model": "thin",
        "layers": dict.fromkeys(case["layers"], case["dose"]),
        "precision": "exact",
        **{
            field: case[field]
            for field in (
                "iterations",
                "image_size",
                "pooling",
                "normalize_gradients",
                "learning_rate",
            )
        },
    }
    return DreamSpec.parse(data, Catalogue({"thin": model}, GOLDEN))


def dream_of(name: str, way: Way = REFERENCE) -> Dream:
    """Start the case's dream at the source as the program saw it."""
    case = BY_NAME[name]
    plan = Plan.make(CPU, torch.float32, way)
    loaded = network(case["model"], case["pooling"])
    return Dream(figures(name)["x0"], spec_of(case), network=loaded, plan=plan)


@cache
def frames(name: str, way: Way = REFERENCE) -> tuple[np.ndarray, ...]:
    """Dream the case to its last checked frame; return every frame, the source first."""
    dream = dream_of(name, way)
    last = max(check["iteration"] for check in BY_NAME[name]["pictures"])
    found = [dream.picture().numpy()]
    for _ in range(last):
        dream.step()
        found.append(dream.picture().numpy())
    return tuple(found)


@EACH_CASE
def test_a_picture_is_scaled_as_in_2015(name: str) -> None:
    """The working size and the pixels that every other figure starts from."""
    case = BY_NAME[name]
    with Image.open(GOLDEN / "inputs" / case["image"]) as image:
        picture = np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(np.float32) / 255

    size = spec_of(case).working_size(*picture.shape[1:])
    scaled = scale(picture, size, "classic")

    assert size == tuple(case["size"])
    assert np.abs(scaled - figures(name)["x0"]).max() <= X0_LIMIT


@checks("gradients")
def test_a_gradient_is_the_one_of_2015(name: str, check: dict[str, Any]) -> None:
    """The sharpest check: a wrong constant, pool or factor shows here. Errors don't add up."""
    t = check["iteration"]
    theirs = figures(name)[f"g{t}"]

    gradient, _ = dream_of(name).gradient(figures(name)[f"x{t - 1}"])

    ours = gradient.numpy() / 256  # theirs is with respect to BGR × 256 − mean
    assert np.linalg.norm(ours - theirs) <= check["relative_l2"] * np.linalg.norm(theirs)


@pytest.mark.parametrize("way", OTHERS, ids=str)
@checks("gradients")
def test_other_exact_ways_have_the_gradients_of_2015(
    name: str, check: dict[str, Any], way: Way
) -> None:
    """The flat picture's too, which is all ties: of equals all choose the first."""
    t = check["iteration"]
    theirs = figures(name)[f"g{t}"]

    gradient, _ = dream_of(name, way).gradient(figures(name)[f"x{t - 1}"])

    ours = gradient.numpy() / 256
    assert np.linalg.norm(ours - theirs) <= check["relative_l2"] * np.linalg.norm(theirs)


@EACH_CASE
def test_a_first_loss_is_the_one_of_2015(name: str) -> None:
    """Layer by layer, not only in the sum."""
    case = BY_NAME[name]

    step = dream_of(name).step()

    ours = np.array([step.losses[layer] for layer in case["layers"]])
    theirs = figures(name)["losses"][0]
    assert np.all(np.abs(ours - theirs) <= case["loss_relative_first"] * np.abs(theirs))


@pytest.mark.parametrize("way", OTHERS, ids=str)
@EACH_CASE
def test_other_exact_ways_have_the_first_losses_of_2015(name: str, way: Way) -> None:
    """Within the same limits."""
    case = BY_NAME[name]

    step = dream_of(name, way).step()

    ours = np.array([step.losses[layer] for layer in case["layers"]])
    theirs = figures(name)["losses"][0]
    assert np.all(np.abs(ours - theirs) <= case["loss_relative_first"] * np.abs(theirs))


@checks("pictures")
def test_a_frame_is_the_one_of_2015(name: str, check: dict[str, Any]) -> None:
    """The whole loop: Adam in torch7's form, its scale, and when a frame is taken."""
    t = check["iteration"]

    apart = np.abs(frames(name)[t] - figures(name)[f"x{t}"])

    assert apart.mean() <= check["mean"]
    if check["max"] is not None:
        assert apart.max() <= check["max"]


@pytest.mark.parametrize("way", OTHERS, ids=str)
@checks("pictures")
def test_other_exact_ways_have_the_frames_of_2015(
    name: str, check: dict[str, Any], way: Way
) -> None:
    """All of them, though a dream is chaotic: no value at a kink falls the other way."""
    t = check["iteration"]

    apart = np.abs(frames(name, way)[t] - figures(name)[f"x{t}"])

    assert apart.mean() <= check["mean"]
    if check["max"] is not None:
        assert apart.max() <= check["max"]


@pytest.mark.parametrize("path", native.paths("float32")[1:])
@EACH_CASE
def test_so_do_the_kernels_other_paths(name: str, path: str) -> None:
    """Gradients and frames by what another CPU would take: the best here is among the ways."""
    case, way = BY_NAME[name], Way("winograd", "exact")
    with kernel_of(library.FILE, path):
        for check in case["gradients"]:
            t = check["iteration"]
            theirs = figures(name)[f"g{t}"]
            gradient, _ = dream_of(name, way).gradient(figures(name)[f"x{t - 1}"])
            beside = np.linalg.norm(gradient.numpy() / 256 - theirs)
            assert beside <= check["relative_l2"] * np.linalg.norm(theirs), t

        dreamt = frames.__wrapped__(name, way) if case["pictures"] else ()
    for check in case["pictures"]:
        t = check["iteration"]
        apart = np.abs(dreamt[t] - figures(name)[f"x{t}"])
        assert apart.mean() <= check["mean"], t
        assert check["max"] is None or apart.max() <= check["max"], t


def test_the_lines_that_2015_printed_come_out_again() -> None:
    """The command-line case: its losses by layer, at the iterations it printed."""
    model, _ = taken_in("thin_vgg19.caffemodel")
    with Image.open(GOLDEN / "inputs" / "scene_65x41.png") as image:
        picture = np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(np.float32) / 255
    spec = DreamSpec.parse(
        {
            "model": "thin",
            "layers": {"relu2_1": 50.0, "relu4_1": 50.0},
            "iterations": 7,
            "image_size": 50,
            "precision": "exact",
        },
        Catalogue({"thin": model}, GOLDEN),
    )
    source = scale(picture, spec.working_size(41, 65), "classic")
    loaded = network("thin_vgg19.caffemodel", "max")
    dream = Dream(
        source, spec, network=loaded, plan=Plan.make(loaded.device, loaded.dtype, REFERENCE)
    )

    losses = {step.iteration: step.losses for step in (dream.step() for _ in range(7))}

    printed = {2: (44.925117, 1.157978), 4: (40.590405, 1.069857), 6: (34.307270, 0.958205)}
    for iteration, theirs in printed.items():
        assert tuple(losses[iteration].values()) == pytest.approx(theirs, rel=1e-5)


def test_both_formats_of_caffe_hold_the_same_network() -> None:
    """The layers in order, and every weight to the bit."""
    model, tensors = taken_in("thin_vgg19.caffemodel")
    later_model, later_tensors = taken_in("thin_vgg19_layer.caffemodel")

    assert model.layers == later_model.layers
    assert tensors.keys() == later_tensors.keys()
    assert all(torch.equal(tensors[name], later_tensors[name]) for name in tensors)
