"""What is behind a made-up actor: a wall, a disc, lights, hills, a window or wooden panels."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter

from callsheet.demo.appearance import Colour, Scene, mix

_WHITE: Colour = (255, 255, 255)


def draw_backdrop(size: tuple[int, int], shot: Scene, *, plain: bool) -> Image.Image:
    """An RGB picture of `size`, or a mere gradient if `plain`: painted at a quarter of the size, out of focus where it is far away."""
    rng = random.Random(shot.seed)  # noqa: S311 - pictures, not secrets
    if plain:
        wall = Image.new("RGB", (1, 2))
        wall.putdata(shot.wall)
        return wall.resize(size, Image.Resampling.BILINEAR)
    wall = Image.new("RGB", (size[0] // 4, size[1] // 4))
    draw = ImageDraw.Draw(wall)
    _shaded(draw, (0, 0, *wall.size), *shot.wall)
    paint, blur = _BACKDROPS[shot.backdrop]
    if paint:
        paint(draw, wall.size, shot, rng)
        wall = wall.filter(ImageFilter.GaussianBlur(blur))
    wall = wall.resize(size, Image.Resampling.BILINEAR)
    if shot.backdrop == "halo":
        x, y, radius = size[0] * 0.5, size[1] * 0.46, size[0] * 0.39
        ImageDraw.Draw(wall).ellipse(
            (x - radius, y - radius, x + radius, y + radius), fill=mix(shot.wall[0], _WHITE, 0.35)
        )
    return wall


def _shaded(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], top: Colour, bottom: Colour) -> None:
    """Fill `box` with a vertical gradient."""
    left, upper, right, lower = box
    for y in range(int(upper), int(lower)):
        draw.line((left, y, right, y), fill=mix(top, bottom, (y - upper) / (lower - upper)))


def _bokeh(draw: ImageDraw.ImageDraw, size: tuple[int, int], shot: Scene, rng: random.Random) -> None:
    width, height = size
    _shaded(draw, (0, 0, width, height), (46, 50, 82), mix(shot.wall[1], (60, 40, 70), 0.5))
    for _ in range(26):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height * 0.8), rng.uniform(5, 20)
        glow = mix(
            rng.choice(((255, 206, 128), (255, 160, 122), (150, 196, 255), shot.wall[0])),
            (46, 50, 82),
            rng.uniform(0.25, 0.75),
        )
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=glow)


def _hills(draw: ImageDraw.ImageDraw, size: tuple[int, int], shot: Scene, rng: random.Random) -> None:
    width, height = size
    _shaded(draw, (0, 0, width, height * 0.64), (176, 210, 236), (252, 236, 214))
    sun = rng.uniform(0.1, 0.9) * width
    draw.ellipse((sun - 22, 34, sun + 22, 78), fill=(255, 246, 220))
    for step, colour in enumerate(((164, 192, 186), (124, 166, 142), (88, 134, 104))):
        phase, level = rng.uniform(0, math.tau), height * (0.5 + 0.13 * step)
        ridge = [(x, level + 14 * math.sin(x / width * (5 + step) + phase)) for x in range(0, width + 8, 8)]
        draw.polygon([(0, height), *ridge, (width, height)], fill=mix(colour, shot.wall[1], 0.15))


def _window(draw: ImageDraw.ImageDraw, size: tuple[int, int], shot: Scene, rng: random.Random) -> None:
    width, height = size
    left = width * (0.05 if shot.light_from < 0 else 0.55) + rng.uniform(-8, 8)
    right, top, bottom = left + width * 0.4, height * 0.06, height * 0.68
    draw.rectangle((left - 6, top - 6, right + 6, bottom + 6), fill=mix(shot.wall[1], _WHITE, 0.72))
    _shaded(draw, (left, top, right, bottom), (188, 220, 244), (250, 244, 226))
    for bar in (
        ((left + right) / 2 - 2, top, (left + right) / 2 + 2, bottom),
        (left, height * 0.34, right, height * 0.34 + 4),
    ):
        draw.rectangle(bar, fill=mix(shot.wall[1], _WHITE, 0.66))


def _panels(draw: ImageDraw.ImageDraw, size: tuple[int, int], shot: Scene, rng: random.Random) -> None:
    width, height = size
    wood = mix((150, 106, 74), shot.wall[1], 0.3)
    board = width / 7
    start = rng.uniform(-board, 0)
    for step in range(9):
        x = start + step * board
        draw.rectangle((x, 0, x + board, height), fill=mix(wood, (60, 36, 26), rng.uniform(0.0, 0.22)))
        draw.line((x, 0, x, height), fill=mix(wood, (40, 24, 18), 0.6), width=2)


# What paints the backdrop, and how far out of focus it is.
_Painter = Callable[[ImageDraw.ImageDraw, tuple[int, int], Scene, random.Random], None]
_BACKDROPS: dict[str, tuple[_Painter | None, float]] = {
    "studio": (None, 0.0),
    "halo": (None, 0.0),
    "bokeh": (_bokeh, 2.0),
    "hills": (_hills, 1.5),
    "window": (_window, 3.0),
    "panels": (_panels, 1.2),
}
