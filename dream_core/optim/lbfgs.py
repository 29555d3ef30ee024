"""L-BFGS that doesn't stop early: one iteration is one direction and one line search."""

from dataclasses import dataclass
from math import inf
from typing import Self

import torch
from torch import Tensor

from dream_core.errors import NotFinite
from dream_core.optim.optimizer import Look, LookAt, State
from dream_core.optim.strong_wolfe import Point, search

HISTORY = 10
FIRST_MOVE = 10 / 256  # mean |move| tried where nothing is known: Adam's at the rate of 2015
LEAST_CURVATURE = 1e-7  # cosine of move and change below which float32 shows nothing but rounding


@dataclass(frozen=True)
class Pair:
    """One move of the picture and what it changed in the gradient."""

    move: Tensor
    change: Tensor
    product: float  # move · change

    @classmethod
    def of(cls, move: Tensor, change: Tensor) -> Self | None:
        """Return the pair, or None where its curvature isn't above zero or drowns in rounding."""
        product = _dot(move, change)
        least = LEAST_CURVATURE * float(move.norm() * change.norm())
        return cls(move, change, product) if least < product < inf else None


class LBFGS:
    """Follow the gradient through an estimate of the curvature, from the last ten moves.

    No tolerance ends it. Where the estimate leads nowhere (a kink of a ReLU or a max pool lies in
    between, or the pairs are stale), it is forgotten and the same iteration goes straight downhill;
    that habit of giving up instead is why the 2015 program had to leave L-BFGS out.

    Source: Nocedal and Wright, Numerical Optimization, algorithms 7.4 and 7.5.
    """

    def __init__(self, picture: Tensor) -> None:
        """Start knowing nothing; what is learned lies where `picture` lies."""
        self._device = picture.device
        self._pairs: list[Pair] = []
        self._look: Look | None = None  # at the picture as it is now: the search ended there

    def follow(self, picture: Tensor, look_at: LookAt) -> Look:
        """Move `picture` in place by one iteration; see `Optimizer.follow`."""
        look = self._look or look_at(picture)
        self._look = look
        found = self._search(picture, look, look_at) if self._pairs else None
        if found is None:
            self._pairs = []
            found = self._search(picture, look, look_at)
        if found is not None:
            move, self._look = found
            pair = Pair.of(move, self._look.gradient - look.gradient)
            self._pairs = [*self._pairs, *([pair] if pair else [])][-HISTORY:]
            picture.add_(move)
        return look

    def _search(self, picture: Tensor, look: Look, look_at: LookAt) -> tuple[Tensor, Look] | None:
        """Return the move to a lower picture and the look there, None where there is none."""
        direction = self._direction(look.gradient)
        slope = _dot(look.gradient, direction)
        if not -inf < slope < 0:
            return None

        def at(step: float) -> Point:
            try:
                there = look_at(picture + direction * step)
            except NotFinite:
                return Point(step, inf, 0.0, None)
            return Point(step, there.loss, _dot(there.gradient, direction), there)

        first = 1.0 if self._pairs else FIRST_MOVE / float(direction.abs().mean())
        point = search(at, Point(0.0, look.loss, slope, look), first)
        return (direction * point.step, point.look) if point and point.look else None

    def _direction(self, gradient: Tensor) -> Tensor:
        """Return −H · gradient by the two-loop recursion; −gradient while nothing is known."""
        direction = -gradient
        shares = []
        for pair in reversed(self._pairs):
            share = _dot(pair.move, direction) / pair.product
            direction.add_(pair.change, alpha=-share)
            shares.append(share)
        if self._pairs:
            last = self._pairs[-1]
            direction.mul_(last.product / _dot(last.change, last.change))
        for pair, share in zip(self._pairs, reversed(shares), strict=True):
            back = _dot(pair.change, direction) / pair.product
            direction.add_(pair.move, alpha=share - back)
        return direction

    def state_dict(self, *, copied: bool = True) -> State:
        """Return the pairs and the last look; see `Optimizer.state_dict`."""
        return {
            "moves": [pair.move.to("cpu", copy=copied) for pair in self._pairs],
            "changes": [pair.change.to("cpu", copy=copied) for pair in self._pairs],
            "products": [pair.product for pair in self._pairs],
            "losses": dict(self._look.losses) if self._look else None,
            "gradient": self._look.gradient.to("cpu", copy=copied) if self._look else None,
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state; see `Optimizer.load_state_dict`."""
        pairs = zip(state["moves"], state["changes"], state["products"], strict=True)
        self._pairs = [
            Pair(self._here(move), self._here(change), product) for move, change, product in pairs
        ]
        self._look = None
        if state["losses"] is not None:
            self._look = Look(dict(state["losses"]), self._here(state["gradient"]))

    def _here(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device, copy=True)


def _dot(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one.flatten(), other.flatten()))
