"""A benchmark's line: one figure as JSON, with all that it depends on."""

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from dream_core.version import version

Line = dict[str, Any]

# Units of what was foretold: a peak of memory, a dream's whole time, and what was left of it.
PEAK = "median |predicted / measured - 1|"
WHOLE, LEFT = "median |told / taken - 1|", "median |told - left| / taken"
INTERRUPTED = 130  # what shells call the exit by Ctrl-C


def line(name: str, **figures: Any) -> Line:
    """Return a figure's line: its name, what was measured, where and when.

    Args:
        name: of what was measured, the same in every run.
        figures: `value`, `unit`, `baseline`, `ratio` and more; `device` where it isn't the CPU.
    """
    import torch  # what only reads lines needs none of it

    from dream_core.executors.cpu import cpu_name, sixteen_bit_instructions

    vectors = torch.backends.cpu.get_cpu_capability()
    where = {
        "device": "cpu",
        "cpu": cpu_name(),
        "instructions": f"{vectors} {sixteen_bit_instructions()}".strip(),
        "threads": torch.get_num_threads(),
        "versions": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "torch_inception": version(),
        },
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    return {"name": name, **where, **figures}


def in_turn(seconds: Sequence[float], baseline: Sequence[float]) -> Line:
    """Return the figures of two that took turns: medians, and the ratio of each turn's seconds."""
    ratios = [base / ours for base, ours in zip(baseline, seconds, strict=True)]
    return {
        "value": round(median(seconds), 4),
        "baseline": round(median(baseline), 4),
        "ratio": round(median(ratios), 3),
        "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
        "rounds": len(ratios),
    }


def tell(told: Line) -> None:
    """Print a line."""
    print(json.dumps(told), flush=True)  # noqa: T201


def say(text: str) -> None:
    """Tell whoever watches how far it is."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def commit() -> str:
    """Return what is measured: the commit, and whether more than that is."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def run(main: Callable[[], None]) -> None:
    """Run a benchmark; Ctrl-C ends it, and what it has started, without a traceback.

    Whoever tells it to end otherwise, or closes its terminal, means the same.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants it ignored
            signal.signal(number, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
