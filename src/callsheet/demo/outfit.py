"""Neck, shoulders and clothes of the made-up actors, in head units."""

from __future__ import annotations

from callsheet.demo.appearance import Appearance, Colour, Scene, mix
from callsheet.demo.pen import Pen, flipped, mirrored

_DARK: Colour = (24, 18, 32)
_WHITE: Colour = (252, 250, 246)
_SHADE: Colour = (96, 32, 52)


def draw_body(pen: Pen, actor: Appearance, shot: Scene) -> None:
    """Everything below the chin; reaches beyond the lower edge of any framing."""
    cut, colour = shot.outfit
    broad = 1.0 if actor.female else 1.14
    neck = 0.4 if actor.female else 0.5
    shadow = mix(actor.skin, _SHADE, 0.34)
    if cut == "hoodie":
        pen.blob(mirrored(((0, 1.0), (0.7, 1.05), (1.0, 1.5), (0.9, 1.95), (0, 2.1))), mix(colour, _DARK, 0.3))
    pen.blob(
        mirrored(((0, 0.6), (neck, 0.7), (neck * 0.98, 1.3), (neck * 1.3, 1.66), (1.3, 2.0), (1.2, 3.2), (0, 3.3))),
        actor.skin,
    )
    pen.blob(mirrored(((0, 0.9), (neck, 0.95), (neck * 0.99, 1.22), (neck * 0.6, 1.46), (0, 1.54))), shadow)
    _draw_cloth(pen, colour, neck, broad, opening=_OPENINGS[cut])
    _DETAILS[cut](pen, colour, neck)


# How deep, how wide the neckline is.
_OPENINGS = {
    "tee": (1.82, 1.25),
    "v_neck": (2.22, 1.16),
    "shirt": (2.0, 1.05),
    "hoodie": (1.9, 1.3),
    "turtleneck": (1.62, 1.0),
    "blazer": (2.5, 1.15),
}


def _draw_cloth(pen: Pen, colour: Colour, neck: float, broad: float, opening: tuple[float, float]) -> None:
    depth, wide = opening
    edge = neck * wide
    right = (
        (edge, 1.52),
        (edge + 0.3, 1.66),
        (1.3 * broad, 1.9),
        (1.85 * broad, 2.2),
        (2.08 * broad, 2.9),
        (2.2 * broad, 5.0),
    )
    left = flipped(right, -1)
    neckline = (
        (-edge * 0.86, 1.7),
        (-edge * 0.5, depth - 0.06),
        (0, depth),
        (edge * 0.5, depth - 0.06),
        (edge * 0.86, 1.7),
    )
    pen.blob([*right, *reversed(left), *neckline], colour)
    fold = mix(colour, _DARK, 0.2)
    for side in (1, -1):
        pen.stroke(flipped(((1.42 * broad, 2.45), (1.36 * broad, 2.9), (1.4 * broad, 3.6)), side), 0.05, fold)
        pen.stroke(
            flipped(((0.95 * broad, 1.84), (1.2 * broad, 2.0), (1.36 * broad, 2.2)), side),
            0.04,
            mix(colour, _WHITE, 0.18),
        )


def _tee(pen: Pen, colour: Colour, neck: float) -> None:
    edge = neck * 1.25
    pen.stroke(
        ((-edge, 1.54), (-edge * 0.8, 1.72), (0, 1.84), (edge * 0.8, 1.72), (edge, 1.54)),
        0.1,
        mix(colour, _DARK, 0.22),
        ends=0.8,
    )


def _v_neck(pen: Pen, colour: Colour, neck: float) -> None:
    edge = neck * 1.2
    for side in (1, -1):
        pen.stroke(
            flipped(((edge * 1.02, 1.52), (edge * 0.8, 1.8), (edge * 0.45, 2.14), (0, 2.3)), side),
            0.1,
            mix(colour, _WHITE, 0.25),
            ends=0.8,
        )


def _shirt(pen: Pen, colour: Colour, neck: float) -> None:
    light, dark = mix(colour, _WHITE, 0.16), mix(colour, _DARK, 0.26)
    pen.stroke(((0, 2.0), (0.01, 2.8), (0, 4.0)), 0.035, dark, ends=1.0)
    for y in (2.3, 2.7, 3.1):
        pen.dot((0.07, y), 0.04, mix(colour, _WHITE, 0.6))
    for side in (1, -1):
        pen.polygon(
            flipped(
                ((neck * 1.06, 1.36), (neck * 1.3, 1.56), (neck * 1.16, 2.06), (0.02, 2.0), (neck * 0.8, 1.68)), side
            ),
            dark,
        )
        pen.polygon(
            flipped(
                ((neck * 1.04, 1.34), (neck * 1.26, 1.54), (neck * 1.1, 2.0), (0.02, 1.96), (neck * 0.8, 1.66)), side
            ),
            light,
        )


def _hoodie(pen: Pen, colour: Colour, neck: float) -> None:
    dark = mix(colour, _DARK, 0.24)
    for side in (1, -1):
        pen.blob(
            flipped(
                (
                    (neck * 1.1, 1.32),
                    (neck * 1.9, 1.5),
                    (neck * 1.7, 1.86),
                    (0.1, 2.14),
                    (0.06, 1.94),
                    (neck * 0.9, 1.66),
                ),
                side,
            ),
            dark,
        )
        pen.stroke(flipped(((0.26, 2.02), (0.3, 2.4), (0.27, 2.8)), side), 0.05, _WHITE, ends=0.9)
        pen.dot((side * 0.27, 2.82), 0.045, _WHITE)


def _turtleneck(pen: Pen, colour: Colour, neck: float) -> None:
    pen.blob(mirrored(((0, 1.22), (neck * 1.02, 1.14), (neck * 1.12, 1.4), (neck * 1.3, 1.74), (0, 1.9))), colour)
    pen.stroke(((-neck * 1.0, 1.2), (0, 1.3), (neck * 1.0, 1.2)), 0.06, mix(colour, _WHITE, 0.2), ends=0.7)
    pen.stroke(((-neck * 1.14, 1.5), (0, 1.62), (neck * 1.14, 1.5)), 0.05, mix(colour, _DARK, 0.22), ends=0.4)


def _blazer(pen: Pen, colour: Colour, neck: float) -> None:
    pen.polygon(((-neck * 1.1, 1.6), (0, 1.94), (neck * 1.1, 1.6), (0.4, 2.9), (0, 4.4), (-0.4, 2.9)), _WHITE)
    dark = mix(colour, _DARK, 0.3)
    for side in (1, -1):
        pen.polygon(
            flipped(((neck * 1.04, 1.38), (neck * 1.24, 1.56), (0.36, 2.1), (0.02, 1.98), (neck * 0.8, 1.7)), side),
            mix(_WHITE, colour, 0.12),
        )
        pen.polygon(
            flipped(
                ((neck * 1.26, 1.5), (1.02, 1.84), (1.1, 2.3), (0.86, 2.36), (0.92, 2.5), (0.06, 4.0), (0.3, 2.6)), side
            ),
            dark,
        )


_DETAILS = {
    "tee": _tee,
    "v_neck": _v_neck,
    "shirt": _shirt,
    "hoodie": _hoodie,
    "turtleneck": _turtleneck,
    "blazer": _blazer,
}
