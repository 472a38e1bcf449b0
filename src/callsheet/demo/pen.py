"""Smooth shapes in head units on a Pillow canvas.

Head units: the origin is the middle of the face, x grows to the right, y down, and half a face is 1 wide. A pen
turns, shifts and scales them to pixels; a shape with `depth` also moves with the turn of the head, most in the
middle of the face and not at its edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache

from PIL import Image, ImageDraw

from callsheet.demo.appearance import Colour

Point = tuple[float, float]
_CIRCLE_STEPS = 4


class Pen:
    """Draws on one canvas. `fine` is the number of straight pieces per span of a curve."""

    def __init__(
        self,
        canvas: Image.Image,
        centre: Point,
        unit: float,
        *,
        tilt: float = 0.0,
        turn: Point = (0.0, 0.0),
        fine: int = 6,
    ) -> None:
        self.canvas = canvas
        self.unit = unit
        self.turn = turn
        self.fine = fine
        self._draw = ImageDraw.Draw(canvas)
        self._centre = centre
        self._cos, self._sin = math.cos(tilt) * unit, math.sin(tilt) * unit
        self._tilt = tilt

    def on(self, canvas: Image.Image, shift: Point = (0, 0), *, scale: float = 1.0) -> Pen:
        """The same pen on another canvas, for masks: shifted by pixels, then scaled."""
        centre = (self._centre[0] + shift[0]) * scale, (self._centre[1] + shift[1]) * scale
        return Pen(canvas, centre, self.unit * scale, tilt=self._tilt, turn=self.turn, fine=self.fine)

    def pixels(self, points: Iterable[Point], depth: float = 0.0) -> list[Point]:
        """Head units to pixels."""
        (left, top), cos, sin = self._centre, self._cos, self._sin
        if depth:
            yaw, pitch = self.turn[0] * depth, self.turn[1] * depth
            points = [(x + yaw * max(0.0, 1 - x * x * 0.85), y + pitch * max(0.0, 1 - y * y * 0.55)) for x, y in points]
        return [(left + x * cos - y * sin, top + x * sin + y * cos) for x, y in points]

    def blob(self, points: Sequence[Point], colour: Colour | int, depth: float = 0.0) -> None:
        """A filled closed curve through the points."""
        self._draw.polygon(self.pixels(curve(points, self.fine), depth), fill=colour)

    def polygon(self, points: Sequence[Point], colour: Colour | int, depth: float = 0.0) -> None:
        """A filled shape with corners."""
        self._draw.polygon(self.pixels(points, depth), fill=colour)

    def dot(self, centre: Point, radius: Point | float, colour: Colour | int, depth: float = 0.0) -> None:
        """A filled ellipse; it turns with the head but keeps its shape."""
        wide, high = radius if isinstance(radius, tuple) else (radius, radius)
        x, y = centre
        if wide == high:
            [(left, top)] = self.pixels([centre], depth)
            size = wide * self.unit
            self._draw.ellipse((left - size, top - size, left + size, top + size), fill=colour)
            return
        self._draw.polygon(
            self.pixels([(x + wide * cos, y + high * sin) for cos, sin in _circle(self.fine * _CIRCLE_STEPS)], depth),
            fill=colour,
        )

    def stroke(
        self, points: Sequence[Point], width: float, colour: Colour | int, depth: float = 0.0, *, ends: float = 0.25
    ) -> None:
        """A line through the points, `width` at its middle and `ends` times that at its ends."""
        path = curve(points, self.fine, closed=False)
        last = len(path) - 1
        left: list[Point] = []
        right: list[Point] = []
        for index, (x, y) in enumerate(path):
            before, after = path[max(index - 1, 0)], path[min(index + 1, last)]
            along = math.hypot(after[0] - before[0], after[1] - before[1]) or 1.0
            half = width / 2 * (ends + (1 - ends) * math.sin(math.pi * index / last))
            across = ((before[1] - after[1]) / along * half, (after[0] - before[0]) / along * half)
            left.append((x + across[0], y + across[1]))
            right.append((x - across[0], y - across[1]))
        self._draw.polygon(self.pixels(left + right[::-1], depth), fill=colour)


def mirrored(half: Sequence[Point]) -> list[Point]:
    """A closed outline from its right half, given from top to bottom. Points on the axis are not doubled."""
    return [*half, *((-x, y) for x, y in reversed(half) if x)]


def flipped(points: Sequence[Point], side: int) -> list[Point]:
    """The points for the right (1) or the left (-1) side."""
    return [(x * side, y) for x, y in points]


def curve(points: Sequence[Point], steps: int, *, closed: bool = True) -> list[Point]:
    """Points on the Catmull-Rom spline through `points`."""
    count = len(points)
    path: list[Point] = []
    for index in range(count if closed else count - 1):
        if closed:
            a, b, c, d = (points[(index + shift) % count] for shift in (-1, 0, 1, 2))
        else:
            a, b, c, d = (points[min(max(index + shift, 0), count - 1)] for shift in (-1, 0, 1, 2))
        path.extend(
            (p * a[0] + q * b[0] + r * c[0] + s * d[0], p * a[1] + q * b[1] + r * c[1] + s * d[1])
            for p, q, r, s in _weights(steps)
        )
    return path if closed else [*path, points[-1]]


@cache
def _weights(steps: int) -> tuple[tuple[float, float, float, float], ...]:
    def at(t: float) -> tuple[float, float, float, float]:
        return (
            (-t + 2 * t**2 - t**3) / 2,
            (2 - 5 * t**2 + 3 * t**3) / 2,
            (t + 4 * t**2 - 3 * t**3) / 2,
            (t**3 - t**2) / 2,
        )

    return tuple(at(step / steps) for step in range(steps))


@cache
def _circle(steps: int) -> tuple[Point, ...]:
    return tuple((math.cos(math.tau * step / steps), math.sin(math.tau * step / steps)) for step in range(steps))
