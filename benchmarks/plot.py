"""The plot of a page: how many times faster than plain PyTorch each precision is, as SVG text."""

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple
from xml.sax.saxutils import escape

BAR, GAP, BETWEEN = 20, 2, 26  # of bars, between bars of a group, between groups
LEFT, TOP, FLOOR, HEIGHT = 46, 104, 46, 240  # the axis' numbers, the titles, the names, the bars
PANEL_GAP = 24
CHARACTER = 7  # of text
MOST_STEPS = 10  # lines across at most
# Of one hue, deeper where fewer bits are kept; what needs no compiler stands apart.
SHADES = {
    "light": ("#a9c8f5", "#5b94e6", "#1d55b0", "#d98a2b"),
    "dark": ("#2f5fa8", "#5f9bf0", "#b3d0fb", "#e0a052"),
}
# Its own ground, so that it can be read on a page that is of the other kind.
INK = {
    "light": {"ground": "#ffffff", "ink": "#1b1f24", "soft": "#5c6570", "rule": "#dfe3e8"},
    "dark": {"ground": "#14181d", "ink": "#e8ecf1", "soft": "#9aa5b1", "rule": "#2b323a"},
}


class Group(NamedTuple):
    """Bars that stand together: what they are of, and the ratio of each name of the legend."""

    title: str
    ratios: Sequence[float | None]


class Panel(NamedTuple):
    """Groups side by side."""

    title: str
    groups: Sequence[Group]


def draw(title: str, where: str, names: Sequence[str], panels: Sequence[Panel]) -> str:
    """Return the picture.

    Args:
        title: what it shows.
        where: on which machine.
        names: of the bars of each group, four at most.
        panels: from left to right.
    """
    most = max(ratio or 0 for panel in panels for group in panel.groups for ratio in group.ratios)
    step = ceil(max(most, 1) / MOST_STEPS)
    top = step * ceil(max(most, 1) / step)
    group_width = len(names) * (BAR + GAP) - GAP
    widths = [len(panel.groups) * (group_width + BETWEEN) for panel in panels]
    written = CHARACTER * max(len(title), len(where))
    width = LEFT + max(sum(widths) + PANEL_GAP * len(panels), written)
    parts, x = [_head(width, title, where, names)], LEFT
    for panel, panel_width in zip(panels, widths, strict=True):
        parts.append(_grid(x, panel_width, top, step, numbered=x == LEFT))
        parts.append(_text(x + panel_width / 2, TOP - 14, panel.title, "middle ink bold"))
        for at, group in enumerate(panel.groups):
            left = x + BETWEEN / 2 + at * (group_width + BETWEEN)
            parts += _bars(left, group, top)
            middle = left + group_width / 2
            parts.append(_text(middle, TOP + HEIGHT + 20, group.title, "middle soft"))
        x += panel_width + PANEL_GAP
    return "\n".join([*parts, "</svg>", ""])


def _head(width: float, title: str, where: str, names: Sequence[str]) -> str:
    """Return the opening: colours for light and dark, the ground, the titles and the legend."""
    height = TOP + HEIGHT + FLOOR
    legend, x = [], LEFT
    for at, name in enumerate(names):
        legend.append(f'<rect class="b{at}" x="{x}" y="56" width="12" height="12" rx="2"/>')
        legend.append(_text(x + 18, 66, name, "soft"))
        x += 38 + CHARACTER * len(name)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" '
            f'width="{width:g}" height="{height}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="12.5">',
            f"<title>{escape(title)}; {escape(where)}</title>",
            f"<style>{_style('light')}",
            f"@media (prefers-color-scheme: dark) {{{_style('dark')}}}</style>",
            f'<rect class="ground" width="{width:g}" height="{height}" rx="8"/>',
            _text(LEFT, 24, title, "ink bold"),
            _text(LEFT, 43, where, "soft"),
            *legend,
        ]
    )


def _style(scheme: str) -> str:
    ink = INK[scheme]
    rules = [f".b{at} {{fill: {shade}}}" for at, shade in enumerate(SHADES[scheme])]
    rules += [f".{name} {{fill: {ink[name]}}}" for name in ("ground", "ink", "soft")]
    rules += [f".rule {{stroke: {ink['rule']}}}", f".one {{stroke: {ink['soft']}}}"]
    rules += [".middle {text-anchor: middle}", ".end {text-anchor: end}"]
    rules += [".bold {font-weight: 600}", ".small {font-size: 10.5px}"]
    return " ".join(rules)


def _grid(x: float, width: float, top: int, step: int, *, numbered: bool) -> str:
    """Return the lines across; that of plain PyTorch, 1, is dashed."""
    drawn = []
    for value in {*range(0, top + 1, step), 1}:
        y = _height(value, top)
        line = 'class="one" stroke-dasharray="4 3"' if value == 1 else 'class="rule"'
        drawn.append(f'<line {line} x1="{x:g}" x2="{x + width:g}" y1="{y:g}" y2="{y:g}"/>')
        if numbered and (value % step == 0 or step <= 2):
            drawn.append(_text(x - 8, y + 4, f"{value} ×", "end soft"))
    return "\n".join(drawn)


def _bars(left: float, group: Group, top: int) -> list[str]:
    drawn = []
    for at, ratio in enumerate(group.ratios):
        if ratio is None:
            continue
        x, y = left + at * (BAR + GAP), _height(ratio, top)
        drawn.append(
            f'<rect class="b{at}" x="{x:g}" y="{y:g}" width="{BAR}" '
            f'height="{TOP + HEIGHT - y:g}" rx="2"/>'
        )
        drawn.append(_text(x + BAR / 2, y - 5, f"{ratio:.1f}", "middle ink small"))
    return drawn


def _height(value: float, top: int) -> float:
    return round(TOP + HEIGHT * (1 - value / top), 1)


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text class="{classes}" x="{x:g}" y="{y:g}">{escape(text)}</text>'
