"""Line search: how far to go along a direction that leads downhill."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, sqrt

from dream_core.optim.optimizer import Look

DECREASE, CURVATURE = 1e-4, 0.9  # Nocedal and Wright's constants for quasi-Newton directions
MOST_LOOKS = 20  # a bracket that 20 looks don't close is narrower than float32 tells apart


@dataclass(frozen=True)
class Point:
    """The loss at one step along the line."""

    step: float
    loss: float  # inf where nothing finite is
    slope: float
    look: Look | None  # None where nothing finite is


def search(at: Callable[[float], Point], start: Point, step: float) -> Point | None:
    """Return a point that fulfils the strong Wolfe conditions, trying `step` first.

    Where 20 looks find none, return the lowest point with enough decrease, None without any.

    Args:
        at: looks at a step along the line.
        start: step 0, with a slope below zero.
        step: the first to try, above zero.

    Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6 in one loop: `low`
    is the best point so far, the minimum lies between it and `high`.
    """
    low, high = start, Point(inf, inf, 0.0, None)
    for _ in range(MOST_LOOKS):
        point = at(step)
        if point.loss >= min(low.loss, start.loss + DECREASE * step * start.slope):
            high = point
        else:
            if abs(point.slope) <= -CURVATURE * start.slope:
                return point
            if point.slope * (high.step - low.step) >= 0:
                high = low
            low = point
        step = _next(low, high)
    return low if low.step else None


def _next(low: Point, high: Point) -> float:
    if high.step == inf:
        return 4 * low.step
    width = high.step - low.step
    guess = _cubic(low, high) if isfinite(high.loss) else low.step + width / 2
    # A guess at the very edge of the bracket would hardly narrow it.
    nearest, farthest = sorted((low.step + 0.1 * width, low.step + 0.9 * width))
    return min(max(guess, nearest), farthest)


def _cubic(low: Point, high: Point) -> float:
    """Return where the cubic through two losses and slopes is lowest; their middle without one."""
    chord = (low.loss - high.loss) / (low.step - high.step)
    first = low.slope + high.slope - 3 * chord
    square = first * first - low.slope * high.slope
    if square < 0:
        return (low.step + high.step) / 2
    second = sqrt(square) if high.step > low.step else -sqrt(square)
    divisor = high.slope - low.slope + 2 * second
    if divisor == 0:
        return (low.step + high.step) / 2
    return high.step - (high.step - low.step) * (high.slope + second - first) / divisor
