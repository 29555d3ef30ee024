"""Weights fetched with a bar, for every command that needs them in this process."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cli.progress import Bar, pulled
from dream_core.model import Model

if TYPE_CHECKING:
    from dream_core.weights import PullProgress


def ensure_weights(model: Model, folder: Path) -> Path:
    """Return the file of a model's weights, pulled first where it isn't there.

    Raises:
        WeightsMissing: it can't be had; says how to bring it.
        WeightsCorrupt: what came isn't what it should be.
    """
    from dream_core.weights import ensure

    with ExitStack() as shown:
        bar: Bar | None = None

        def show(progress: "PullProgress") -> None:
            nonlocal bar
            bar = bar or shown.enter_context(Bar(f"weights of {progress.model}"))
            bar.at(progress.bytes_done, progress.bytes_total, note(progress))

        return ensure(model, folder, show)


def note(progress: "PullProgress") -> str:
    """Return what stands beside a pull's bar."""
    if progress.phase == "waiting":
        return "another process is pulling it; waiting"
    if progress.phase == "converting":
        return "converting"
    return pulled(progress.bytes_done, progress.bytes_total)
