"""`dream classic`: the command line of 2015, computed by the engine of today."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import BadOption
from cli.local.classic_flags import OLD_MODEL_FILE, OLD_PROTO_FILE, Flags, parse
from cli.progress import Bar
from dream_core.catalogue import Catalogue
from dream_core.model import Model
from dream_core.spec import DreamSpec

if TYPE_CHECKING:  # as in `dreaming`
    from dream_core.dream import Dream, Step
    from dream_core.networks import Network

CAFFE = "vgg19_caffe"
PNG, JPEG = (".png",), (".jpg", ".jpeg")


@click.command(
    add_help_option=False,
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    },
    short_help="Dream with the command line of the 2015 program.",
)
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
def classic(flags: tuple[str, ...]) -> None:
    """Take every flag of neural_dream.lua, each with one dash; `-help` lists them."""
    asked = parse(flags)
    if asked.output_image.suffix.lower() not in (*PNG, *JPEG):
        raise BadOption(
            f"-output_image is '{asked.output_image}'; name it .png, or .jpg for a JPEG"
        )

    from cli.local.dreaming import probe
    from dream_core.dream import Dream
    from dream_core.picture import read, working_source

    picture = read(asked.content_image)
    if asked.backend:
        click.echo(f"-backend {asked.backend}: the device decides what computes ({device(asked)})")
    spec, network = _open(asked)
    spec.check_picture(picture.height, picture.width, network.model)
    size = spec.working_size(picture.height, picture.width)
    source, _ = working_source(picture, size, spec.resampler)
    asked.output_image.parent.mkdir(parents=True, exist_ok=True)
    _dream(Dream(source, spec, network=network, probe=probe()), asked)


def device(flags: Flags) -> str:
    """Return the device that -gpu names."""
    return f"cuda:{flags.gpu}" if flags.gpu >= 0 else "cpu"


def spec_of(flags: Flags, model: Model, catalogue: Catalogue) -> DreamSpec:
    """Return the dream that the flags ask of a model.

    Raises:
        InvalidSpec, UnknownLayer: naming value, limit and way out.
    """
    data: dict[str, Any] = {
        "model": model.name,
        "layers": dict.fromkeys(flags.layers, flags.acid_dose),
        "iterations": flags.num_iterations,
        "image_size": flags.image_size,
        "learning_rate": flags.learning_rate,
        "pooling": flags.pooling,
        "normalize_gradients": flags.normalize_gradients,
        "style_scale": flags.style_scale,
        "seed": flags.seed if flags.seed >= 0 else secrets.randbits(31),
        "resampler": "classic",
        "rounding": "truncate",
        "precision": "exact",
    }
    if flags.content_weight is not None:
        data["content_weight"] = flags.content_weight
    return DreamSpec.parse(data, catalogue)


def _open(flags: Flags) -> tuple[DreamSpec, "Network"]:
    """Return the spec and the network, of the files named, or of what the user has; say which."""
    catalogue = Catalogue.load()
    files = model_files(flags)
    caffe_is_here = CAFFE in catalogue and catalogue.weights(CAFFE).is_file()
    if not flags.model_file and caffe_is_here:
        return _from_catalogue(flags, catalogue[CAFFE], catalogue)
    if files:
        return _from_files(flags, *files)
    return _from_catalogue(flags, catalogue["vgg19"], catalogue)


def model_files(flags: Flags) -> tuple[Path, Path] | None:
    """Return caffemodel and prototxt: those named, else those at the 2015 program's own place.

    Raises:
        BadOption: one of the two is missing.
    """
    weights = flags.model_file or (OLD_MODEL_FILE if OLD_MODEL_FILE.is_file() else None)
    if weights is None:
        if flags.proto_file:
            raise BadOption(
                f"-proto_file is '{flags.proto_file}', but there is no -model_file; name both"
            )
        return None
    if not weights.is_file():
        raise BadOption(f"-model_file is '{weights}', but there is no such file")
    beside = [
        weights.with_suffix(".prototxt"),
        weights.with_name(f"{weights.stem}_deploy.prototxt"),
    ]
    candidates = [flags.proto_file] if flags.proto_file else [*beside, OLD_PROTO_FILE]
    for prototxt in candidates:
        if prototxt.is_file() or flags.proto_file:
            return weights, prototxt
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise BadOption(
        f"-model_file is '{weights}', and its prototxt is none of {looked}; name it by -proto_file"
    )


def _from_catalogue(
    flags: Flags, model: Model, catalogue: Catalogue
) -> tuple[DreamSpec, "Network"]:
    from cli.local.dreaming import load

    click.echo(f"Model: {model.name}, {model.title} (-model_file names another)")
    spec = spec_of(flags, model, catalogue)
    return spec, load(spec, catalogue, device(flags))


def _from_files(flags: Flags, weights: Path, prototxt: Path) -> tuple[DreamSpec, "Network"]:
    import torch

    from dream_core.executors.device import resolve_device
    from dream_core.networks import load_network
    from dream_core.weights.caffe import read_caffe

    where = resolve_device(device(flags))
    click.echo(f"Model: {weights} with {prototxt}")
    model, tensors = read_caffe(weights, prototxt)
    spec = spec_of(flags, model, Catalogue({model.name: model}, weights.parent))
    given = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    return spec, load_network(model, given, pooling=spec.pooling, device=where)


def _dream(dream: "Dream", flags: Flags) -> None:
    """Save before each update and print its losses after it, as the program did."""
    from cli.local.dreaming import steps
    from dream_core.picture import encode_jpeg, encode_png, write_bytes

    encode = encode_png if flags.output_image.suffix.lower() in PNG else encode_jpeg

    def save(iteration: int) -> None:
        if path := flags.saved_as(iteration):
            write_bytes(path, encode(dream.picture().numpy(), dream.spec.rounding))

    with Bar("dreaming") as bar:
        save(1)
        for step in steps(dream, bar):
            if flags.print_iter > 0 and step.iteration % flags.print_iter == 0:
                bar.say(report(step, flags))
            if not dream.finished:
                save(step.iteration + 1)


def report(step: "Step", flags: Flags) -> str:
    """Return the losses of an iteration as the program printed them, each by its layer's name."""
    lines = [f"Iteration {step.iteration} / {flags.num_iterations}"]
    lines += [f"  {name} loss: {loss:f}" for name, loss in step.losses.items()]
    lines.append(f"  Total loss: {sum(step.losses.values()):f}")
    return "\n".join(lines)
