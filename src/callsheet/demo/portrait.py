"""Draws the made-up actors: stylised faces that are viewable as training images, and the same at thumbnail size.

Pictures are drawn at twice their size and reduced, so that edges are smooth. Nothing is read from disk.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageChops, ImageFilter

from callsheet.demo.appearance import Appearance, Colour, Scene, appearance, mix, scene
from callsheet.demo.backdrop import draw_backdrop
from callsheet.demo.hair import draw_back, draw_front
from callsheet.demo.outfit import draw_body
from callsheet.demo.pen import Pen, Point, flipped, mirrored

__all__ = ["Appearance", "appearance", "base_image", "miniature", "portrait"]

_SIZE = 512
_BASE_SIZE = (512, 640)
_MINIATURE = 64
_OVERSAMPLING = 2
_UNIT = 0.205
_CENTRE_Y = 0.45
_INK: Colour = (44, 28, 34)
_WHITE: Colour = (255, 255, 255)
_SHADE: Colour = (96, 32, 52)


def portrait(actor: Appearance, index: int) -> Image.Image:
    """Training picture `index` of the actor, 512 x 512 RGB."""
    return _picture(actor, scene(actor, index), (_SIZE, _SIZE))


def base_image(actor: Appearance) -> Image.Image:
    """The actor's base image, 512 x 640 RGB: frontal, calm, before a plain wall."""
    return _picture(actor, scene(actor, -1), _BASE_SIZE)


def miniature(actor: Appearance, index: int) -> Image.Image:
    """A cheap 64 x 64 RGB picture in the actor's colours: for trees of many thousands."""
    return _picture(actor, scene(actor, index), (_MINIATURE, _MINIATURE), plain=True)


def _picture(actor: Appearance, shot: Scene, size: tuple[int, int], *, plain: bool = False) -> Image.Image:
    width, height = size[0] * _OVERSAMPLING, size[1] * _OVERSAMPLING
    canvas = draw_backdrop((width, height), shot, plain=plain)
    fine = 2 if plain else 6
    unit = _UNIT * width * shot.zoom
    middle = (width * (0.5 + shot.offset[0]), height * (_CENTRE_Y + shot.offset[1]))
    turn = (shot.yaw * 0.26, shot.pitch * 0.2)
    body = Pen(canvas, middle, unit, turn=turn, fine=fine)
    head = Pen(canvas, middle, unit, tilt=shot.tilt, turn=turn, fine=fine)
    draw_back(head, actor)
    draw_body(body, actor, shot)
    _draw_head(head, actor, shot, plain=plain)
    draw_front(head, actor)
    if actor.glasses and not plain:
        _draw_glasses(head)
    canvas = canvas.resize(size, Image.Resampling.BOX if plain else Image.Resampling.LANCZOS)
    return canvas if plain else _lit(canvas, shot)


def _outline(actor: Appearance) -> list[Point]:
    wide, long, jaw = actor.face
    return mirrored(
        (
            (0, -1.24),
            (0.56 * wide, -1.1),
            (0.9 * wide, -0.62),
            (0.97 * wide, -0.05),
            (0.92 * wide, 0.4),
            (0.84 * wide * jaw, 0.8 * long),
            (0.44 * wide * jaw, 1.14 * long),
            (0, 1.26 * long),
        )
    )


def _draw_head(pen: Pen, actor: Appearance, shot: Scene, *, plain: bool) -> None:
    shade = mix(actor.skin, _SHADE, 0.24)
    for side in (1, -1):
        x = side * 0.99 * actor.face[0] - pen.turn[0] * 0.25
        pen.dot((x, 0.1), (0.15, 0.25), actor.skin)
        pen.dot((x - side * 0.01, 0.11), (0.08, 0.16), shade)
        if actor.earrings:
            pen.dot((x + side * 0.02, 0.42), 0.065, (246, 206, 112))
    outline = _outline(actor)
    pen.blob(outline, actor.skin)
    if not plain:
        _shade_face(pen, actor, shot, outline)
    if actor.beard:
        _draw_beard(pen, actor)
    for side in (1, -1):
        _draw_eye(pen, actor, shot, side, plain=plain)
    _draw_nose(pen, actor, shade)
    _draw_mouth(pen, actor, shot)
    if not plain:
        _draw_marks(pen, actor, shade)


def _shade_face(pen: Pen, actor: Appearance, shot: Scene, outline: list[Point]) -> None:
    """Shadow on the side away from the light and under the hair, and a glow on the cheeks."""
    dark: list[tuple[list[Point], int]] = [
        (flipped(((0.72, -1.3), (1.3, -1.2), (1.3, 1.5), (0.1, 1.5), (0.62, 0.8), (0.78, 0.1)), -shot.light_from), 72),
        (mirrored(((0, -0.7), (0.6, -0.62), (0.86, -0.2), (1.3, -0.4), (1, -1.4), (0, -1.5))), 76),
    ]
    middle = pen.turn[0] * 0.7
    glow = [([(x + 0.27, 0.42), (x, 0.62), (x - 0.27, 0.42), (x, 0.22)], 96) for x in (middle - 0.56, middle + 0.56)]
    points = pen.pixels(outline)
    box = (
        int(min(x for x, _ in points)) - 4,
        int(min(y for _, y in points)) - 4,
        int(max(x for x, _ in points)) + 4,
        int(max(y for _, y in points)) + 4,
    )
    size = (box[2] - box[0], box[3] - box[1])
    face = Image.new("L", size)
    near = pen.on(face, (-box[0], -box[1]))
    near.blob(outline, 255)
    for shapes, colour, blur in (
        (dark, mix(actor.skin, _SHADE, 0.6), 0.16),
        (glow, mix(actor.skin, (226, 74, 74), 0.5), 0.12),
    ):
        soft = Image.new("L", (size[0] // 4, size[1] // 4))
        quarter = near.on(soft, scale=0.25)
        for shape, strength in shapes:
            quarter.blob(shape, strength)
        soft = soft.filter(ImageFilter.GaussianBlur(quarter.unit * blur))
        pen.canvas.paste(colour, box, ImageChops.multiply(face, soft.resize(size, Image.Resampling.BILINEAR)))


def _draw_eye(pen: Pen, actor: Appearance, shot: Scene, side: int, *, plain: bool) -> None:
    x, y = side * 0.41, 0.0
    wide, high = 0.205 * actor.eye_size, 0.125 * actor.eye_size * shot.lids
    slant = actor.eye_slant * side

    def edge(t: float, lift: float) -> Point:
        return x + wide * t, y - slant * t - lift * (1 - t * t)

    steps = [step / 4 for step in range(-4, 5)]
    pen.polygon([*(edge(t, high) for t in steps), *(edge(-t, -high * 0.72) for t in steps[1:-1])], (252, 248, 244), 1)
    centre = x + shot.yaw * 0.035, y - 0.012
    for radius, colour in ((0.118, mix(actor.eyes, _INK, 0.35)), (0.1, actor.eyes), (0.055, (22, 16, 20))):
        ring = [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in _RING]
        # The lids cut the iris: each point of its rim stays between them.
        pen.polygon(
            [
                (px, min(max(py, edge((px - x) / wide, high)[1]), edge((px - x) / wide, -high * 0.72)[1]))
                for px, py in ring
            ],
            colour,
            1,
        )
    if not plain:
        pen.dot((centre[0] + 0.04 * shot.light_from, centre[1] - 0.04), 0.026, _WHITE, 1)
        pen.stroke(
            [(px, py - 0.075) for px, py in (edge(-0.9, high), edge(0, high), edge(0.95, high))],
            0.028,
            mix(actor.skin, _SHADE, 0.42),
            1,
        )
    lash = [edge(t * side, high) for t in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    if actor.female:
        lash.append((x + side * (wide + 0.06), y - slant * side - 0.055))
    pen.stroke(lash, 0.062 if actor.female else 0.046, _INK, 1, ends=0.5)
    top = -0.33 - shot.brow_lift
    brow = (
        (0.17, top + 0.05 + min(0.0, shot.brow_lift) * -0.6),
        (0.36, top - 0.045),
        (0.55, top - 0.03),
        (0.7, top + 0.08),
    )
    colour = mix(actor.hair, _INK, 0.35) if actor.age < 60 else mix(actor.hair, (110, 104, 104), 0.4)
    pen.stroke(flipped(brow, side), actor.brow * 1.25, colour, 1, ends=0.35)


_RING = tuple(math.tau * step / 14 for step in range(14))


def _draw_nose(pen: Pen, actor: Appearance, shade: Colour) -> None:
    wide = 0.17 * actor.nose
    side = -1 if pen.turn[0] > 0 else 1
    pen.blob(
        flipped(((0.07, 0.06), (0.1, 0.3), (wide, 0.44), (0.02, 0.5), (0.04, 0.3)), side),
        mix(actor.skin, shade, 0.55),
        1.15,
    )
    pen.stroke(
        ((-wide, 0.42), (-wide * 0.75, 0.5), (-0.04, 0.5), (0, 0.525), (0.04, 0.5), (wide * 0.75, 0.5), (wide, 0.42)),
        0.045,
        mix(actor.skin, _SHADE, 0.5),
        1.15,
        ends=0.5,
    )
    pen.dot((-side * 0.03, 0.4), (0.045, 0.06), mix(actor.skin, _WHITE, 0.16), 1.15)


def _draw_mouth(pen: Pen, actor: Appearance, shot: Scene) -> None:
    wide = (0.3 + 0.07 * max(0.0, shot.smile)) * actor.mouth
    y, corner, drop = 0.79, 0.79 - 0.085 * shot.smile, 0.16 * shot.opening
    bow = ((-wide, corner), (-wide * 0.4, y - 0.055), (0, y - 0.03), (wide * 0.4, y - 0.055), (wide, corner))
    pen.blob(
        [*bow, (wide * 0.5, y + 0.07 + drop), (0, y + 0.115 + drop), (-wide * 0.5, y + 0.07 + drop)], actor.lips, 1
    )
    if shot.opening:
        upper, lower = (wide * 0.86, corner + 0.01, y + 0.012), (wide * 0.86, corner + 0.01, y + 0.055 + drop)
        pen.polygon([*_arc(*upper), *reversed(_arc(*lower))], (108, 34, 42), 1)
        upper, lower = (wide * 0.74, corner + 0.022, y + 0.014), (wide * 0.74, corner + 0.022, y + 0.045 + drop * 0.45)
        pen.polygon([*_arc(*upper), *reversed(_arc(*lower))], (252, 248, 242), 1)
    else:
        pen.stroke(
            ((-wide, corner), (-wide * 0.45, y + 0.015), (0, y + 0.012), (wide * 0.45, y + 0.015), (wide, corner)),
            0.034,
            mix(actor.lips, _INK, 0.55),
            1,
            ends=0.6,
        )
    pen.stroke(
        ((-0.13, y + 0.2 + drop), (0, y + 0.215 + drop), (0.13, y + 0.2 + drop)),
        0.035,
        mix(actor.skin, _SHADE, 0.22),
        1,
    )


def _arc(wide: float, ends: float, middle: float) -> list[Point]:
    """A parabola from left to right: `ends` and `middle` are its heights."""
    return [(wide * t / 5, middle + (ends - middle) * (t / 5) ** 2) for t in range(-5, 6)]


def _draw_beard(pen: Pen, actor: Appearance) -> None:
    wide, long, jaw = actor.face
    if actor.beard in ("full", "stubble"):
        colour = mix(actor.hair, actor.skin, 0.08 if actor.beard == "full" else 0.78)
        low = 1.34 if actor.beard == "full" else 1.255
        pen.blob(
            mirrored(
                (
                    (0, 0.66),
                    (0.36, 0.64),
                    (0.62, 0.52),
                    (0.86 * wide, 0.02),
                    (0.96 * wide, 0.05),
                    (0.91 * wide, 0.42),
                    (0.84 * wide * jaw, 0.82 * long),
                    (0.45 * wide * jaw, low * long * 0.92),
                    (0, low * long),
                )
            ),
            colour,
        )
    if actor.beard == "moustache":
        pen.blob(mirrored(((0, 0.6), (0.2, 0.6), (0.42, 0.76), (0.2, 0.73), (0, 0.71))), actor.hair, 1)


def _draw_marks(pen: Pen, actor: Appearance, shade: Colour) -> None:
    """Freckles, and the lines that years leave."""
    if actor.freckles:
        rng = random.Random(actor.name)  # noqa: S311 - pictures, not secrets
        for _ in range(16):
            at = rng.choice((-1, 1)) * rng.uniform(0.12, 0.62), rng.uniform(0.2, 0.46)
            pen.dot(at, rng.uniform(0.012, 0.02), mix(actor.skin, (170, 92, 62), 0.5), 1)
    if actor.age < 45:
        return
    line = mix(actor.skin, shade, 0.8)
    for side in (1, -1):
        if actor.beard not in ("full", "stubble"):
            pen.stroke(flipped(((0.24, 0.5), (0.38, 0.62), (0.44, 0.8)), side), 0.032, line, 1)
        pen.stroke(flipped(((0.26, 0.17), (0.4, 0.215), (0.56, 0.17)), side), 0.026, line, 1)
        if actor.age > 58:
            pen.stroke(flipped(((0.7, -0.05), (0.8, -0.09)), side), 0.026, line, 1)
            pen.stroke(flipped(((0.7, 0.04), (0.8, 0.06)), side), 0.026, line, 1)
    if actor.age > 58:
        pen.stroke(((-0.32, -0.6), (0, -0.625), (0.32, -0.6)), 0.026, line, 0.8)


def _draw_glasses(pen: Pen) -> None:
    frame: Colour = (52, 44, 52)
    for side in (1, -1):
        for half in (math.pi, -math.pi):
            rim = [half * step / 8 for step in range(9)]
            pen.stroke(
                [(side * 0.41 + 0.29 * math.cos(a), 0.03 + 0.245 * math.sin(a)) for a in rim], 0.045, frame, 1, ends=1.0
            )
        pen.stroke(flipped(((0.7, -0.02), (0.98, 0.0)), side), 0.05, frame, 0.8, ends=0.8)
    pen.stroke(((-0.13, 0.0), (0, -0.03), (0.13, 0.0)), 0.045, frame, 1, ends=1.0)


def _lit(picture: Image.Image, shot: Scene) -> Image.Image:
    """The scene's light over everything: a soft glow from one side, and a slightly darker rim."""
    width, height = picture.size
    spot = ImageChops.invert(Image.radial_gradient("L")).point(
        [int(value * shot.strength * 0.9) for value in range(256)]
    )
    left = width // 2 - shot.light_from * width // 3
    reach = (left / (2 * width) * 256, 85, (left + width) / (2 * width) * 256, 213)
    lit = ImageChops.screen(picture, Image.new("RGB", picture.size, mix((0, 0, 0), shot.tint, 0.45)))
    picture.paste(lit, mask=spot.resize((width, height), Image.Resampling.BILINEAR, box=reach))
    rim = Image.radial_gradient("L").point([max(0, value - 120) // 2 for value in range(256)])
    picture.paste((30, 20, 44), (0, 0, width, height), rim.resize((width, height), Image.Resampling.BILINEAR))
    return picture
