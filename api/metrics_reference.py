"""Prints docs/reference/metrics.md, made from the code: `python -P -m api.metrics_reference`."""

import sys
from pathlib import Path
from string import Template

from api.meters import ALL, Meter


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


def page() -> str:
    """Return the reference of every metric, in the order of the code."""
    text = Path(__file__).with_name("metrics.md").read_text("utf-8")
    return Template(text).substitute(metrics="".join(map(_row, ALL)))


def _row(meter: Meter) -> str:
    labels = ", ".join(f"`{label}`" for label in meter.labels) or "none"
    return f"| `{meter.name}` | {meter.kind} | {labels} | {meter.help} |\n"


if __name__ == "__main__":
    main()
