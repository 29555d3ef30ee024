"""The page of figures: written from the lines that benchmarks told, with its plot.

    python -m benchmarks.page    # writes it anew from performance*.jsonl, measuring nothing

performance.jsonl is of whoever ran `make bench` in this clone; as performance-NAME.jsonl lines are
kept for others. A machine that is in both is shown as it was measured here.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import plot, words
from benchmarks.line import LEFT, PEAK, WHOLE, Line, say
from dream_core.picture.write import write_bytes

FOLDER = Path(__file__).parents[1] / "docs" / "reference"
PAGE, LINES, OTHERS, PLOT = (
    "performance.md",
    "performance.jsonl",
    "performance-*.jsonl",
    "performance.svg",
)
ERRORS = {PEAK: "", WHOLE: "", LEFT: " of the whole"}  # what each is a part of, in the page's words
PRECISIONS = ("exact", "balanced", "fast", "fast, no compiler")


class Shape(NamedTuple):
    """What was dreamed: the picture's size and the layers asked."""

    width: int
    height: int
    layers: tuple[str, ...]

    @property
    def size(self) -> str:
        """Width × height, as the page says it."""
        return f"{self.width} × {self.height}"

    @property
    def asked(self) -> str:
        """The layers in few words."""
        return " … ".join(dict.fromkeys((self.layers[0], self.layers[-1])))


class Machine(NamedTuple):
    """Where lines come from."""

    device: str
    cpu: str
    instructions: str
    threads: int

    @classmethod
    def of(cls, line: Line) -> "Machine":
        """Return that of a line; what it doesn't tell stays empty."""
        told = line.get("device", ""), line.get("cpu", ""), line.get("instructions", "")
        return cls(*(str(each or "") for each in told), int(line.get("threads") or 0))


def main() -> None:
    """Write the page anew."""
    write(own(FOLDER), FOLDER)
    say(f"{FOLDER / PAGE} is written")


def write(lines: Sequence[Line], folder: Path) -> None:
    """Write lines, plot and page into a folder; the page last, as it speaks of the others."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    page, picture = beside_others(lines, folder)
    if lines:
        write_bytes(folder / LINES, text.encode())
    write_bytes(folder / PLOT, picture.encode())
    write_bytes(folder / PAGE, page.encode())


def own(folder: Path) -> list[Line]:
    """Return the lines that were measured in this clone, if any."""
    return read(folder / LINES) if (folder / LINES).exists() else []


def beside_others(lines: Sequence[Line], folder: Path) -> tuple[str, str]:
    """Return the page and its plot, with the lines that a folder has of other machines."""
    measured = set(map(Machine.of, lines))
    files = {LINES: list(lines)}
    for file in sorted(folder.glob(OTHERS)):
        files[file.name] = [line for line in read(file) if Machine.of(line) not in measured]
    together = [line for each in files.values() for line in each]
    return contents(together, [name for name, each in files.items() if each])


def read(file: Path) -> list[Line]:
    """Return the lines of a file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def contents(lines: Sequence[Line], files: Sequence[str] = (LINES,)) -> tuple[str, str]:
    """Return the page and its plot.

    Args:
        lines: what was told.
        files: where it can be read.
    """
    steps = [line for line in lines if line["name"].startswith("step ")]
    others = _of_today([line for line in lines if line not in steps and "value" in line])
    dreams = [line for line in others if "peak_memory_bytes" in line]
    rest = [line for line in others if line not in dreams]
    parts = [
        words.HEAD.format(files=",\n".join(f"[{file}]({file})" for file in files)),
        f"![Speed against plain PyTorch, by picture, layers and precision]({PLOT})\n",
    ]
    for heading, told, tell in (
        (words.SPEED, steps, _speed),
        (words.MEMORY, steps, _memory),
        (words.DREAMS, dreams, _dreams),
        (words.REST, rest, _figures),
    ):
        parts += [heading] if told else []
        for machine in _newest_first(told):
            own = [line for line in told if Machine.of(line) == machine]
            parts += [_said_of(own), tell(own)]
    on_gpu = any(Machine.of(line).device.startswith("cuda") for line in lines)
    return "\n".join([*parts, words.NOT_MEASURED if on_gpu else words.NOT_ON_GPU]), _plot(steps)


def _of_today(lines: Sequence[Line]) -> list[Line]:
    """Leave out what an older code told in another unit: its figure means something else."""
    units = {
        line["name"]: line.get("unit") for line in sorted(lines, key=lambda line: line["date"])
    }
    return [line for line in lines if line.get("unit") == units[line["name"]]]


def _newest_first(lines: Iterable[Line]) -> list[Machine]:
    """Return where lines come from, the machine measured last first."""
    last: dict[Machine, str] = {}
    for line in lines:
        machine = Machine.of(line)
        last[machine] = max(last.get(machine, ""), line["date"])
    return sorted(last, key=last.__getitem__, reverse=True)


def _said_of(lines: Sequence[Line]) -> str:
    """Say of which machine a table is, and of which code."""
    versions = lines[0]["versions"]
    commits = ", ".join(dict.fromkeys(f"`{line['commit']}`" for line in lines))
    return (
        f"{_where(lines)} at commit {commits} with torch {versions['torch']} and "
        f"Python {versions['python']}:\n"
    )


def _where(lines: Sequence[Line]) -> str:
    """Return the machine that lines are of, and when they were measured."""
    machine = Machine.of(lines[0])
    where = f"{machine.cpu} ({machine.instructions})"
    if machine.device != "cpu":
        where = f"{lines[0].get('gpu') or machine.device} beside {where}"
    threads = f"{machine.threads} threads" if machine.threads != 1 else "1 thread"
    dates = " and ".join(sorted({line["date"] for line in lines}))
    return f"{where}, {threads}, measured on {dates}"


def _speed(lines: Sequence[Line]) -> str:
    """Return seconds of an iteration, and how they were had."""
    table = _table(lines, _plain_seconds, _seconds)
    ways = [f"{name}: {_found(lines, name)}" for name in PRECISIONS if _found(lines, name)]
    return f"{table}\nRun as {'; '.join(ways)}; whole or in bands, as each line says.\n"


def _plain_seconds(line: Line) -> str:
    return f"{_rounded(line['baseline'])} s"


def _seconds(line: Line) -> str:
    return f"{_rounded(line['value'])} s ({line['ratio']:.1f} ×)"


def _found(lines: Iterable[Line], precision: str) -> str:
    """Return the ways that a precision was run in; each line says in which form."""
    own = [line for line in lines if line["precision"] == precision]
    return " or ".join(dict.fromkeys(f"`{line['way']}`" for line in own))


def _memory(lines: Sequence[Line]) -> str:
    """Return peaks of processes."""
    return _table(lines, _plain_peak, _peak)


def _plain_peak(line: Line) -> str:
    return _megabytes(line["baseline_peak_memory_bytes"])


def _peak(line: Line) -> str:
    peak, plain = line["peak_memory_bytes"], line["baseline_peak_memory_bytes"]
    return f"{_megabytes(peak)} ({peak / plain:.2f})" if peak and plain else "–"


def _table(lines: Iterable[Line], plain: Callable[[Line], str], ours: Callable[[Line], str]) -> str:
    """Return a row for each shape: plain PyTorch's figure, and ours of each precision."""
    by_shape: dict[Shape, dict[str, Line]] = {}
    for line in lines:
        shape = Shape(line["width"], line["height"], tuple(line["layers"]))
        by_shape.setdefault(shape, {})[line["precision"]] = line
    rows = [
        (
            shape.size,
            shape.asked,
            plain(next(iter(found.values()))),
            *(ours(found[name]) if name in found else "–" for name in PRECISIONS),
        )
        for shape, found in by_shape.items()
    ]
    return _markdown(("picture", "layers", "plain PyTorch", *PRECISIONS), rows)


def _dreams(lines: Iterable[Line]) -> str:
    """Return a row for each dream that was timed as a whole."""
    rows = [
        (str(line["name"]), _plain_seconds(line), _seconds(line), _plain_peak(line), _peak(line))
        for line in lines
    ]
    titles = ("what", "plain PyTorch", "ours", "memory, plain PyTorch", "memory, ours")
    return _markdown(titles, rows)


def _figures(lines: Iterable[Line]) -> str:
    """Return a row for each line of any other benchmark."""
    rows = [
        (
            str(line["name"]),
            _with_unit(line["value"], line),
            _with_unit(line.get("baseline"), line),
            _ratio(line),
        )
        for line in lines
    ]
    return _markdown(("what", "figure", "baseline", "ratio"), rows)


def _plot(steps: Sequence[Line]) -> str:
    """Draw the ratios of the newest machine: a panel for each size, a group for its layers."""
    newest = _newest_first(steps)[0]
    lines = [line for line in steps if Machine.of(line) == newest]
    panels: dict[str, dict[str, dict[str, float]]] = {}
    for line in lines:
        shape = Shape(line["width"], line["height"], tuple(line["layers"]))
        groups = panels.setdefault(shape.size, {})
        groups.setdefault(shape.asked, {})[line["precision"]] = line["ratio"]
    drawn = [
        plot.Panel(
            size,
            [
                plot.Group(asked, [of.get(name) for name in PRECISIONS])
                for asked, of in all_.items()
            ],
        )
        for size, all_ in panels.items()
    ]
    title = "An iteration, times as fast as plain PyTorch (the dashed line)"
    return plot.draw(title, _where(lines), PRECISIONS, drawn)


def _with_unit(value: float | None, line: Line) -> str:
    if value is None:
        return "–"
    unit = line.get("unit", "")
    if unit in ERRORS:  # fractions
        return f"off by {value * 100:.1f} %{ERRORS[unit]}, at most {line['largest'] * 100:.0f} %"
    if unit.startswith("median |"):
        raise ValueError(f"the page has no words for the unit of {line['name']!r}, {unit!r}")
    return f"{_rounded(value)} {unit}".strip()


def _ratio(line: Line) -> str:
    """Return the median of the turns' ratios and how far they lie apart."""
    if line.get("ratio") is None:
        return "–"
    apart = " ({:.2f} to {:.2f})".format(*line["ratios"]) if "ratios" in line else ""
    return f"{line['ratio']:.2f}{apart}"


def _rounded(value: float) -> str:
    """Return three digits that count, never more."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _megabytes(count: int | None) -> str:
    return "–" if count is None else f"{count / 1e6:.0f}"


def _markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruled = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in ruled)


if __name__ == "__main__":
    main()
