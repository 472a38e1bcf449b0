"""Who a made-up actor is and how one picture of them is taken: plain values, drawn by `portrait`.

Everything follows from (seed, actor, index) through `random.Random`, so the same call always describes the same
picture. Colours are RGB triples; head units are those of `portrait`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

Colour = tuple[int, int, int]

_AGE_AND_SEX = re.compile(r"(?:\d+_)?(?P<origin>\w+?)_(?P<age>\d+)_(?P<sex>female|male)", re.ASCII)

_BLACK, _ESPRESSO, _CHESTNUT, _AUBURN, _GINGER, _SAND, _BLOND, _GREY, _SILVER = (
    (38, 33, 40),
    (62, 43, 38),
    (101, 64, 44),
    (132, 62, 40),
    (188, 98, 52),
    (166, 126, 82),
    (218, 178, 112),
    (142, 140, 146),
    (204, 203, 208),
)
_DARK_HAIR = (_BLACK, _BLACK, _ESPRESSO)
_ANY_HAIR = (_ESPRESSO, _CHESTNUT, _AUBURN, _GINGER, _SAND, _BLOND)
_BROWN_EYES = ((84, 54, 38), (58, 38, 30), (112, 74, 44))
_ANY_EYES = ((78, 120, 158), (92, 132, 98), (112, 74, 44), (98, 116, 132))

# Origin, as it stands in an actor's name: skin tones, hair colours, eye colours.
_ORIGINS: dict[str, tuple[tuple[Colour, ...], tuple[Colour, ...], tuple[Colour, ...]]] = {
    "european": (((246, 209, 184), (240, 198, 170), (250, 216, 196)), _ANY_HAIR, _ANY_EYES),
    "african": (((150, 98, 70), (130, 84, 60), (168, 112, 80)), _DARK_HAIR, _BROWN_EYES),
    "east_asian": (((247, 214, 178), (238, 200, 162)), _DARK_HAIR, _BROWN_EYES),
    "south_asian": (((184, 128, 90), (166, 112, 78)), _DARK_HAIR, _BROWN_EYES),
    "middle_eastern": (((222, 172, 132), (206, 154, 114)), (_BLACK, _ESPRESSO, _CHESTNUT), _BROWN_EYES),
    "latin_american": (((218, 162, 120), (198, 142, 102)), (_ESPRESSO, _CHESTNUT, _BLACK), _BROWN_EYES),
    "pacific_islander": (((170, 114, 80), (152, 100, 70)), _DARK_HAIR, _BROWN_EYES),
}
ORIGINS = tuple(_ORIGINS)

# The order spreads the styles over neighbouring actors: see `appearance`.
_MALE_HAIR = ("sweep", "crop", "curls", "quiff", "buzz", "waves")
_FEMALE_HAIR = ("straight", "bun", "ponytail", "afro", "pixie", "bob", "long_waves")
_BACKDROPS = ("studio", "halo", "bokeh", "hills", "window", "panels")
_BEARDS = ("", "", "stubble", "full", "moustache")
_CUTS = ("tee", "shirt", "hoodie", "turtleneck", "blazer", "v_neck")
_CLOTHES: tuple[Colour, ...] = (
    (44, 62, 92),
    (188, 72, 62),
    (62, 112, 102),
    (226, 168, 74),
    (236, 230, 220),
    (96, 82, 132),
    (70, 76, 86),
    (202, 124, 112),
    (72, 132, 168),
    (122, 136, 84),
)
_WALLS: tuple[tuple[Colour, Colour], ...] = (
    ((246, 222, 196), (226, 164, 134)),
    ((204, 224, 232), (112, 156, 182)),
    ((222, 232, 206), (132, 168, 132)),
    ((232, 218, 238), (154, 132, 182)),
    ((250, 236, 196), (228, 186, 104)),
    ((226, 228, 232), (138, 148, 162)),
    ((252, 218, 212), (218, 136, 136)),
    ((196, 226, 222), (86, 148, 150)),
    ((86, 100, 128), (40, 48, 70)),
)
# Expression: words, smile (-1..1), mouth opening (0..1), brow lift, lid opening.
_EXPRESSIONS: tuple[tuple[str, float, float, float, float], ...] = (
    ("a calm look", 0.12, 0.0, 0.0, 1.0),
    ("a slight smile", 0.5, 0.0, 0.02, 0.96),
    ("a broad smile", 0.9, 0.75, 0.05, 0.82),
    ("a laugh", 1.0, 1.0, 0.09, 0.72),
    ("a serious look", -0.12, 0.0, -0.025, 0.95),
    ("a surprised look", 0.15, 0.55, 0.13, 1.14),
    ("a warm smile", 0.75, 0.3, 0.03, 0.9),
)
# Lighting: words, tint, strength (0..1).
_LIGHTS: tuple[tuple[str, Colour, float], ...] = (
    ("soft daylight", (255, 250, 240), 0.20),
    ("warm evening light", (255, 196, 120), 0.34),
    ("cool window light", (186, 214, 255), 0.32),
    ("bright studio light", (255, 255, 255), 0.30),
)
_PLACES = {
    "studio": "plain studio background",
    "halo": "coloured disc behind the head",
    "bokeh": "city lights out of focus",
    "hills": "hills in the distance",
    "window": "beside a window",
    "panels": "wood-panelled wall",
}


@dataclass(frozen=True, slots=True)
class Appearance:
    """What stays the same in every picture of an actor. `face` is (width, length, jaw), each around 1."""

    name: str
    seed: int
    origin: str
    age: int
    female: bool
    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    hair_style: str
    face: tuple[float, float, float]
    eye_size: float
    eye_slant: float
    brow: float
    nose: float
    mouth: float
    beard: str
    glasses: bool
    earrings: bool
    freckles: bool
    wardrobe: tuple[tuple[str, Colour], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What differs from picture to picture of one actor. Angles are radians, offsets fractions of the width."""

    seed: str
    yaw: float
    pitch: float
    tilt: float
    zoom: float
    offset: tuple[float, float]
    expression: str
    smile: float
    opening: float
    brow_lift: float
    lids: float
    backdrop: str
    wall: tuple[Colour, Colour]
    light: str
    tint: Colour
    strength: float
    light_from: int
    outfit: tuple[str, Colour]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`first` with `share` (0..1) of `second` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def appearance(actor_name: str, seed: int) -> Appearance:
    """How the actor looks: origin, age and sex as the name says, the rest by chance. Any name will do."""
    rng = random.Random(f"{seed}/{actor_name}")  # noqa: S311 - pictures, not secrets
    said = _AGE_AND_SEX.fullmatch(actor_name)
    origin = said["origin"] if said and said["origin"] in _ORIGINS else rng.choice(ORIGINS)
    age = int(said["age"]) if said else rng.randint(18, 70)
    female = said["sex"] == "female" if said else rng.random() < 0.5
    skins, hairs, eyes = _ORIGINS[origin]
    skin = rng.choice(skins)
    adult_man = not female and age >= 21
    # Neighbours surely differ: hair style and wardrobe step with the actor's number.
    number = _number(actor_name)
    style = _FEMALE_HAIR[(number * 3 + age) % 7] if female else _MALE_HAIR[number % 6]
    return Appearance(
        name=actor_name,
        seed=seed,
        origin=origin,
        age=age,
        female=female,
        skin=skin,
        hair=_aged(rng.choice(hairs), age, rng),
        eyes=rng.choice(eyes),
        lips=mix(skin, (186, 44, 62), rng.uniform(0.42, 0.6) if female else rng.uniform(0.2, 0.28)),
        hair_style=style,
        face=(rng.uniform(0.93, 1.03), rng.uniform(0.96, 1.05), rng.uniform(0.8, 0.9) + (0 if female else 0.12)),
        eye_size=rng.uniform(0.95, 1.08) * (1.06 if female else 0.96),
        eye_slant=rng.uniform(0.02, 0.05),
        brow=rng.uniform(0.045, 0.06) if female else rng.uniform(0.075, 0.1),
        nose=rng.uniform(0.86, 1.0) if female else rng.uniform(0.98, 1.16),
        mouth=rng.uniform(0.92, 1.08),
        beard=rng.choice(_BEARDS) if adult_man else "",
        glasses=rng.random() < (0.45 if age > 40 else 0.15),
        earrings=female and rng.random() < 0.6,
        freckles=origin == "european" and rng.random() < 0.5,
        wardrobe=tuple(
            (
                _CUTS[(number + step * 2 + rng.randint(0, 1)) % len(_CUTS)],
                _CLOTHES[(number * 3 + step * 4) % len(_CLOTHES)],
            )
            for step in range(3)
        ),
    )


def scene(actor: Appearance, index: int) -> Scene:
    """How picture `index` of the actor is taken; index -1 is the base image: frontal, calm, plain."""
    rng = random.Random(f"{actor.seed}/{actor.name}/{index}")  # noqa: S311 - pictures, not secrets
    base = index < 0
    turn = 0.0 if base else 1.0
    words, smile, opening, lift, lids = _EXPRESSIONS[1] if base else rng.choice(_EXPRESSIONS)
    light, tint, strength = _LIGHTS[0] if base else rng.choice(_LIGHTS)
    return Scene(
        seed=f"{actor.name}/{index}",
        yaw=turn * rng.uniform(-0.9, 0.9),
        pitch=turn * rng.uniform(-0.35, 0.35),
        tilt=turn * rng.gauss(0, 0.075),
        zoom=1.0 if base else rng.choice((0.82, 0.94, 1.0, 1.08, 1.24)),
        offset=(turn * rng.uniform(-0.05, 0.05), turn * rng.uniform(-0.02, 0.03)),
        expression=words,
        smile=smile,
        opening=opening,
        brow_lift=lift,
        lids=lids,
        backdrop="studio" if base else rng.choice(_BACKDROPS),
        wall=_WALLS[sum(actor.name.encode()) % 8] if base else rng.choice(_WALLS),
        light=light,
        tint=tint,
        strength=strength,
        light_from=1 if base else rng.choice((-1, 1)),
        outfit=actor.wardrobe[0] if base else rng.choice(actor.wardrobe),
    )


def prompt(actor: Appearance, index: int) -> str:
    """The prompt that could have made picture `index`; it says what the picture shows."""
    shot = scene(actor, index)
    framing = "close-up" if shot.zoom > 1.1 else "half-length portrait" if shot.zoom < 0.9 else "portrait"
    who = "woman" if actor.female else "man"
    view = "three-quarter view" if abs(shot.yaw) > 0.45 else "frontal view"
    return (
        f"{framing} of a {actor.age}-year-old {actor.origin.replace('_', ' ')} {who}, {view}, {shot.expression}, "
        f"{shot.outfit[0].replace('_', '-')}, {shot.light}, {_PLACES[shot.backdrop]}"
    )


def _number(name: str) -> int:
    digits = re.match(r"\d+", name, re.ASCII)
    return int(digits.group()) if digits else 0


def _aged(hair: Colour, age: int, rng: random.Random) -> Colour:
    if age >= 62:
        return mix(_SILVER, hair, 0.12)
    if age >= 48:
        return mix(hair, _GREY, rng.uniform(0.45, 0.7))
    return hair
