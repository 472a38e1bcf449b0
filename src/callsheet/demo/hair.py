"""Hair styles as tables of control points, in head units: what hangs behind the head, and what lies before it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from callsheet.demo.appearance import Appearance, Colour, mix
from callsheet.demo.pen import Pen, Point, flipped, mirrored

_DARK: Colour = (20, 14, 22)
_LIGHT: Colour = (255, 236, 214)

# Right half, top to bottom; drawn before neck and clothes.
_BACK: dict[str, Sequence[Point]] = {
    "straight": (
        (0, -1.44),
        (0.7, -1.32),
        (1.1, -0.8),
        (1.16, 0),
        (1.14, 0.9),
        (1.2, 1.7),
        (1.02, 2.35),
        (0.5, 2.3),
        (0, 2.2),
    ),
    "long_waves": (
        (0, -1.5),
        (0.78, -1.36),
        (1.2, -0.8),
        (1.16, -0.1),
        (1.34, 0.5),
        (1.2, 1.05),
        (1.42, 1.6),
        (1.08, 2.2),
        (0, 2.1),
    ),
    "bob": ((0, -1.44), (0.75, -1.32), (1.16, -0.8), (1.22, -0.1), (1.26, 0.55), (1.12, 1.02), (0.7, 0.98), (0, 0.9)),
    "waves": ((0, -1.4), (0.75, -1.28), (1.1, -0.75), (1.12, 0), (1.2, 0.5), (1.04, 0.95), (0.6, 0.9), (0, 0.85)),
}
# From the right ear over the forehead to the left ear.
_HAIRLINE: dict[str, Sequence[Point]] = {
    "crop": (
        (0.93, -0.1),
        (0.86, -0.42),
        (0.74, -0.74),
        (0.34, -0.84),
        (-0.3, -0.82),
        (-0.72, -0.72),
        (-0.86, -0.42),
        (-0.93, -0.1),
    ),
    "buzz": (
        (0.95, -0.2),
        (0.86, -0.5),
        (0.72, -0.8),
        (0.36, -0.92),
        (-0.36, -0.92),
        (-0.72, -0.8),
        (-0.86, -0.5),
        (-0.95, -0.2),
    ),
    "quiff": (
        (0.94, -0.02),
        (0.86, -0.4),
        (0.74, -0.72),
        (0.3, -0.94),
        (-0.3, -0.88),
        (-0.7, -0.68),
        (-0.86, -0.4),
        (-0.94, -0.02),
    ),
    "curls": (
        (0.94, -0.08),
        (0.86, -0.45),
        (0.7, -0.72),
        (0.3, -0.78),
        (-0.3, -0.78),
        (-0.7, -0.72),
        (-0.86, -0.45),
        (-0.94, -0.08),
    ),
    "sweep": (
        (0.95, 0.02),
        (0.87, -0.4),
        (0.72, -0.86),
        (0.5, -0.98),
        (0.0, -0.78),
        (-0.5, -0.6),
        (-0.84, -0.44),
        (-0.95, 0.02),
    ),
    "waves": (
        (1.02, 0.3),
        (0.88, -0.3),
        (0.62, -0.78),
        (0.12, -1.06),
        (-0.3, -0.86),
        (-0.72, -0.6),
        (-0.9, -0.2),
        (-1.02, 0.3),
    ),
    "straight": (
        (1.04, 0.5),
        (0.9, -0.2),
        (0.62, -0.72),
        (0.06, -1.1),
        (-0.06, -1.1),
        (-0.62, -0.72),
        (-0.9, -0.2),
        (-1.04, 0.5),
    ),
    "long_waves": (
        (1.06, 0.4),
        (0.9, -0.25),
        (0.7, -0.8),
        (0.46, -1.06),
        (-0.1, -0.82),
        (-0.6, -0.56),
        (-0.9, -0.12),
        (-1.06, 0.4),
    ),
    "bob": (
        (1.06, 0.5),
        (0.9, 0.1),
        (0.82, -0.34),
        (0.44, -0.46),
        (-0.44, -0.46),
        (-0.82, -0.34),
        (-0.9, 0.1),
        (-1.06, 0.5),
    ),
    "bun": (
        (0.96, 0.05),
        (0.88, -0.36),
        (0.66, -0.76),
        (0.22, -0.94),
        (-0.22, -0.94),
        (-0.66, -0.76),
        (-0.88, -0.36),
        (-0.96, 0.05),
    ),
    "afro": (
        (0.95, -0.05),
        (0.86, -0.44),
        (0.68, -0.72),
        (0.3, -0.8),
        (-0.3, -0.8),
        (-0.68, -0.72),
        (-0.86, -0.44),
        (-0.95, -0.05),
    ),
    "pixie": (
        (0.97, 0.12),
        (0.86, -0.2),
        (0.8, -0.62),
        (0.5, -0.92),
        (0.06, -0.7),
        (-0.44, -0.46),
        (-0.84, -0.3),
        (-0.97, 0.12),
    ),
    "ponytail": (
        (0.96, 0.05),
        (0.88, -0.38),
        (0.68, -0.74),
        (0.3, -0.98),
        (-0.14, -0.84),
        (-0.62, -0.66),
        (-0.88, -0.36),
        (-0.96, 0.05),
    ),
}
# How far the hair stands off the skull: at the sides, at the top.
_VOLUME: dict[str, Point] = {
    "buzz": (-0.02, -0.06),
    "crop": (0.0, 0.04),
    "quiff": (0.0, 0.3),
    "sweep": (0.03, 0.12),
    "curls": (0.02, 0.1),
    "afro": (0.12, 0.2),
    "long_waves": (0.14, 0.16),
    "bob": (0.14, 0.1),
    "straight": (0.08, 0.08),
    "waves": (0.08, 0.1),
    "pixie": (0.05, 0.1),
}
_SHINE: Sequence[Sequence[Point]] = (
    ((0.82, -0.55), (0.7, -0.9), (0.42, -1.16)),
    ((-0.86, -0.5), (-0.76, -0.86), (-0.5, -1.12)),
    ((-0.6, -0.84), (-0.4, -1.04), (-0.06, -1.2)),
)


def draw_back(pen: Pen, actor: Appearance) -> None:
    """What lies behind neck and shoulders."""
    style = actor.hair_style
    dark = mix(actor.hair, _DARK, 0.3)
    if style in _BACK:
        pen.blob(mirrored(_BACK[style]), dark)
    elif style == "afro":
        pen.dot((0, -0.42), (1.42, 1.3), dark)
        _curls(
            pen,
            actor,
            [(1.2 * math.cos(a), -0.45 + 1.06 * math.sin(a)) for a in _angles(19, math.pi * 0.95, math.pi * 2.05)],
            0.2,
            dark,
        )
        _curls(
            pen,
            actor,
            [(1.4 * math.cos(a), -0.42 + 1.26 * math.sin(a)) for a in _angles(24, math.pi * 0.86, math.pi * 2.14)],
            0.2,
            dark,
        )
    elif style == "bun":
        pen.dot((0.06, -1.62), (0.46, 0.42), dark)
        pen.dot((0.02, -1.66), (0.4, 0.34), actor.hair)
        pen.stroke(((-0.26, -1.66), (0.0, -1.86), (0.3, -1.7)), 0.06, mix(actor.hair, _LIGHT, 0.2))
    elif style == "ponytail":
        pen.blob(
            (
                (0.2, -1.42),
                (0.9, -1.5),
                (1.36, -0.9),
                (1.32, 0.0),
                (1.5, 0.8),
                (1.3, 1.5),
                (1.06, 0.9),
                (0.98, 0.0),
                (0.8, -0.8),
            ),
            dark,
        )
        pen.stroke(((0.9, -1.3), (1.24, -0.7), (1.18, 0.2), (1.32, 1.1)), 0.09, mix(actor.hair, _LIGHT, 0.1))


def draw_front(pen: Pen, actor: Appearance) -> None:
    """What lies on the skull, frames the face and falls over the shoulders."""
    style = actor.hair_style
    colour = mix(actor.hair, actor.skin, 0.3) if style == "buzz" else actor.hair
    side, top = _VOLUME.get(style, (0.0, 0.06))
    lean = -0.22 if style in ("quiff", "sweep", "pixie") else 0.0
    over = [
        (-0.99 - side, 0.0),
        (-1.03 - side, -0.46),
        (-0.9 - side + lean / 3, -0.98 - top / 3),
        (-0.5 + lean, -1.3 - top),
        (lean / 2, -1.38 - top),
        (0.5 + lean / 4, -1.28 - top * 0.7),
        (0.88 + side, -0.96 - top / 4),
        (1.03 + side, -0.46),
        (0.99 + side, 0.0),
    ]
    hairline = _turned(_HAIRLINE[style], pen.turn[0] * 0.6)
    pen.blob([*over, *hairline], colour)
    if style == "curls":
        _curls(
            pen,
            actor,
            [(0.96 * math.cos(a), -0.52 + 0.78 * math.sin(a)) for a in _angles(13, math.pi * 1.02, math.pi * 1.98)],
            0.25,
            colour,
        )
        _curls(pen, actor, [(x, -0.86 - 0.12 * math.cos(x * 2)) for x in (-0.62, -0.32, 0.0, 0.32, 0.62)], 0.2, colour)
    elif style == "afro":
        _curls(
            pen,
            actor,
            [(1.06 * math.cos(a), -0.5 + 0.62 * math.sin(a)) for a in _angles(13, math.pi * 1.0, math.pi * 2.0)],
            0.22,
            colour,
        )
    elif style != "buzz":
        _strands(pen, colour, hairline, lean)
    if style in ("straight", "long_waves"):
        _locks(pen, actor)


def _turned(points: Sequence[Point], shift: float) -> list[Point]:
    """A hairline that follows the turn of the head a little; its ends stay at the ears."""
    return [(x + shift * 0.5 * max(0.0, 1 - x * x), y) for x, y in points]


def _strands(pen: Pen, colour: Colour, hairline: Sequence[Point], lean: float) -> None:
    for path in _SHINE:
        pen.stroke([(x + lean / 3, y - 0.02) for x, y in path], 0.055, mix(colour, _LIGHT, 0.16))
    middle = hairline[2:-2]
    pen.stroke([(x * 0.98, y - 0.07) for x, y in middle], 0.05, mix(colour, _DARK, 0.22), ends=0.1)


def _locks(pen: Pen, actor: Appearance) -> None:
    wave = 0.1 if actor.hair_style == "long_waves" else 0.0
    for side in (1, -1):
        lock = (
            (0.92, -0.5),
            (1.08, -0.4),
            (1.17 + wave, 0.4),
            (1.16 - wave, 1.0),
            (1.24 + wave, 1.7),
            (1.06, 2.35),
            (0.84, 1.9),
            (0.92 - wave, 1.2),
            (0.98, 0.5),
        )
        pen.blob(flipped(lock, side), actor.hair)
        pen.stroke(
            flipped(((1.04, -0.2), (1.08 + wave, 0.4), (1.02 - wave, 1.0), (1.08 + wave, 1.7)), side),
            0.06,
            mix(actor.hair, _LIGHT, 0.16),
        )


def _curls(pen: Pen, actor: Appearance, centres: Sequence[Point], size: float, colour: Colour) -> None:
    rng = random.Random(actor.name)  # noqa: S311 - pictures, not secrets
    light = mix(colour, _LIGHT, 0.12)
    for x, y in centres:
        radius = size * rng.uniform(0.86, 1.14)
        pen.dot((x, y), radius, colour)
        pen.stroke(
            ((x - radius * 0.5, y), (x - radius * 0.1, y - radius * 0.5), (x + radius * 0.4, y - radius * 0.3)),
            0.045,
            light,
        )


def _angles(count: int, start: float, end: float) -> list[float]:
    return [start + (end - start) * step / (count - 1) for step in range(count)]
