"""Names of the pictures that commands write."""

from pathlib import Path

from cli.errors import BadOption


def check_png(path: Path, option: str) -> None:
    """Refuse a file name that promises another format.

    Raises:
        BadOption: says how to name it.
    """
    if path.suffix.lower() != ".png":
        raise BadOption(
            f"{option} is '{path}', but pictures are written as PNG; "
            f"name it {path.with_suffix('.png').name or 'out.png'}"
        )


def frame_name(iteration: int, iterations: int) -> str:
    """Return the name of a frame's file; by name they sort as they came."""
    return f"frame_{iteration:0{max(3, len(str(iterations)))}d}.png"
