"""The flags of the 2015 program, neural_dream.lua: names, defaults, file names."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import click

# Where the 2015 program looked when it was told nothing, from the folder it was started in.
OLD_MODEL_FILE = Path("models/VGG_ILSVRC_19_layers.caffemodel")
OLD_PROTO_FILE = Path("models/VGG_ILSVRC_19_layers_deploy.prototxt")


@dataclass(frozen=True)
class Flags:
    """What was asked, by the names of the flags."""

    content_image: Path
    image_size: int
    gpu: int
    content_weight: float | None
    num_iterations: int
    learning_rate: float
    normalize_gradients: bool
    output_image: Path
    print_iter: int
    save_iter: int
    style_layers: str
    style_scale: float
    proto_file: Path | None
    model_file: Path | None
    pooling: str
    backend: str | None
    seed: int
    acid_dose: float

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers asked for, in the order given."""
        return tuple(filter(None, (name.strip() for name in self.style_layers.split(","))))

    def saved_as(self, iteration: int) -> Path | None:
        """Return the file written at an iteration, None for none.

        The last one has the plain name and no number, whatever -save_iter says.
        """
        if iteration == self.num_iterations:
            return self.output_image
        if self.save_iter > 0 and iteration % self.save_iter == 0:
            return numbered(self.output_image, iteration)
        return None


def numbered(path: Path, iteration: int) -> Path:
    """Return the path with a number of two digits or more before its last dot."""
    return path.with_name(f"{path.stem}_{iteration:02d}{path.suffix}")


def parse(arguments: Sequence[str]) -> Flags:
    """Return the flags; a wrong one ends the command with exit status 2, -help with 0."""
    parser = _parser()
    taking = {
        name for action in parser._actions if action.nargs != 0 for name in action.option_strings
    }
    return Flags(**vars(parser.parse_args(_joined(arguments, taking))))


def _joined(arguments: Sequence[str], taking: set[str]) -> list[str]:
    """Write `-flag value` as `-flag=value`: argparse takes -1e3 for a flag of its own otherwise."""
    joined: list[str] = []
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        joined.append(f"{flag}={rest.pop(0)}" if flag in taking and rest else flag)
    return joined


class _Parser(argparse.ArgumentParser):
    """Fails like the other commands: click's form, exit status 2."""

    def error(self, message: str) -> NoReturn:
        raise click.UsageError(f"{message} (`dream classic -help` lists all flags)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dream classic",
        description="Dream as the 2015 program did: its flags, defaults, scaling and file names. "
        "out_100.png holds the picture before update 100, out.png the one before the last.",
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("-h", "-help", "--help", action="help", help="show this and stop")
    add("-content_image", type=Path, required=True, help="picture to dream on", metavar="FILE")
    add("-image_size", type=int, default=512, help="longer side, in pixels")
    add("-gpu", type=int, default=-1, help="number of the GPU, from 0; -1 for the CPU")
    add(
        "-content_weight",
        type=float,
        default=argparse.SUPPRESS,
        help="how strongly relu4_2 holds on to the source. The 2015 program took it (default: "
        "5e0) and did nothing with it; here it acts when it is given, and not otherwise",
    )
    add("-num_iterations", type=int, default=1000, help="updates of the picture")
    add("-learning_rate", type=float, default=10.0, help="of Adam, on the scale of 256 steps")
    add("-normalize_gradients", action="store_true", help="divide each gradient by its L1 norm")
    add("-output_image", type=Path, default=Path("out.png"), help="file to write", metavar="FILE")
    add("-print_iter", type=int, default=50, help="print losses every so many iterations; 0: never")
    add("-save_iter", type=int, default=100, help="save every so many iterations; 0: only the last")
    add(
        "-style_layers",
        default="relu1_1,relu2_1,relu3_1,relu4_1,relu5_1",
        help="layers to dream at, in any order",
    )
    add("-style_scale", type=float, default=1.0, help="size of the source of the Gram targets")
    add(
        "-proto_file",
        type=Path,
        default=argparse.SUPPRESS,
        help=f"prototxt of -model_file (default: {OLD_PROTO_FILE}, or one beside -model_file)",
    )
    add(
        "-model_file",
        type=Path,
        default=argparse.SUPPRESS,
        help=f"caffemodel (default: vgg19_caffe if you have added it, else {OLD_MODEL_FILE} if it "
        "is there, else vgg19)",
    )
    add("-pooling", choices=("max", "avg"), default="max", help="kind of every pool")
    add(
        "-backend",
        choices=("nn", "cudnn"),
        default=argparse.SUPPRESS,
        help="taken for the old command lines' sake: the device decides what computes",
    )
    add("-seed", type=int, default=-1, help="of all randomness; -1: another one each time")
    add("-acid_dose", type=float, default=1000.0, help="what each Gram matrix is multiplied by")
    # What has no default in the list above, but one in its own words.
    parser.set_defaults(content_weight=None, proto_file=None, model_file=None, backend=None)
    return parser
