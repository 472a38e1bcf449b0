"""Writes the demo's tree and the objects in its buckets: made-up actors, one for each thing that callsheet tells apart.

The same seed gives the same bytes and modification times in every file. What a demo contains follows from the table
in `cast`; a large one (`actors=N`) has small pictures and no special cases but the four statuses.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageOps

from callsheet.codec import dump_json
from callsheet.demo import documents, ground
from callsheet.demo.appearance import ORIGINS, Appearance, appearance, prompt
from callsheet.demo.cast import CAST, ORPHAN_ACTOR, USER_BUCKET, USER_ID, Role
from callsheet.demo.portrait import base_image, miniature, portrait
from callsheet.errors import LocalError, UsageError
from callsheet.layout import OLD_MANIFEST, PROMPT_METADATA, RESPONSE, TRAINING_RESPONSE, Layout, actor_id, s3_url
from callsheet.model import Location
from callsheet.remote.contract import Remote

_SEED = 7
# 2025-10-17 14:08 UTC: when the first image was made; the others follow by the minute.
_EPOCH = 1_760_710_080.0
_EDITED_LATER_S = 86_400.0
_WORKERS = 4
_NEW_PICTURE = 20


@dataclass(frozen=True, slots=True)
class DemoTree:
    """What was written. `images` counts files on disk, `objects` those in the buckets; `notes` say what to look at."""

    root: str
    actors: int
    images: int
    objects: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Ground:
    """Where one demo goes."""

    root: str
    remote: Remote
    layout: Layout

    def write(self, path: str, body: bytes, mtime: float = _EPOCH) -> None:
        """Write a file; `path` is relative to the root, its folder exists."""
        full = os.path.join(self.root, path)
        with open(full, "wb") as file:
            file.write(body)
        os.utime(full, (mtime, mtime))

    def write_json(self, path: str, document: documents.Json) -> None:
        self.write(path, dump_json(document))

    def folder(self, path: str) -> None:
        os.makedirs(os.path.join(self.root, path), exist_ok=True)

    def put(self, location: Location, body: bytes) -> None:
        self.remote.put(location, body, md5=_md5(body))


def buckets(layout: Layout) -> tuple[str, ...]:
    """The buckets that a demo's objects go to. They must be there before `write_demo`."""
    return layout.bucket, USER_BUCKET


def write_demo(root: str, remote: Remote, layout: Layout, *, actors: int | None = None) -> DemoTree:
    """Write a demo below `root` and its objects through `remote`; a former demo there is replaced.

    With `actors`, that many actors of 10 to 20 small pictures each. A folder below `root` that `remote` keeps its
    objects in is part of the demo and emptied with it, but for the buckets' own folders; objects elsewhere are overwritten,
    never removed. The `buckets` must exist.
    `UsageError`, with nothing touched, if `root` holds anything but a demo; `LocalError` if the disk refuses.
    """
    if actors is not None and actors < 1:
        raise UsageError(f"a demo of {actors} actors is none", hint="Name a number from 1 up.")
    try:
        ground.claim(root, layout)
        foreign = ground.entries(root) | {layout.actors_dir.split("/")[0], layout.manifests_dir.split("/")[0]}
        site = _Ground(root, remote, layout)
        site.folder(layout.actors_dir)
        site.folder(layout.manifests_dir)
        tree = _write_cast(site) if actors is None else _write_crowd(site, actors)
        ground.mark(root, layout, sorted(ground.entries(root) - foreign))
    except OSError as error:
        raise _refused(error, root) from error
    return tree


def add_orphan(root: str, layout: Layout) -> str:
    """Put a new picture among an actor's images, for a tree that was synced already; its path, relative to `root`."""
    try:
        actors = sorted(os.listdir(os.path.join(root, layout.actors_dir)))
        name = ORPHAN_ACTOR if ORPHAN_ACTOR in actors else actors[0]
        there = set(os.listdir(os.path.join(root, layout.training_dir(name))))
        number = _NEW_PICTURE
        while f"{name}_{number}.jpg" in there:
            number += 1
        path = layout.image(name, f"{name}_{number}.jpg")
        with open(os.path.join(root, path), "xb") as file:
            file.write(_encoded(portrait(appearance(name, _SEED), number), ".jpg"))
    except (OSError, IndexError) as error:
        raise _refused(error, root) from error
    return path


def _write_cast(site: _Ground) -> DemoTree:
    # Scaling, encoding and writing let go of the interpreter, so threads pay for pictures of this size.
    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in pool.map(partial(_write_role, site), CAST):
            pass
    site.write_json(
        f"{site.layout.manifests_dir}/_migration_summary.json", documents.migration_summary(len(CAST), _EPOCH)
    )
    return DemoTree(
        root=site.root,
        actors=len(CAST),
        images=sum(len(role.disk) for role in CAST),
        objects=sum(len(role.bucket) for role in CAST),
        notes=tuple(f"{role.name}: {role.note}" for role in CAST),
    )


def _write_role(site: _Ground, role: Role) -> None:
    actor = appearance(role.name, _SEED)
    numbers = sorted({*role.disk, *role.bucket, *role.recorded})
    original = {number: _encoded(portrait(actor, number), role.suffix) for number in numbers}
    here = {
        number: _edited(actor, role, number, 100) if number in role.edited_here else original[number]
        for number in role.disk
    }
    there = {
        number: _edited(actor, role, number, 200) if number in role.edited_there else original[number]
        for number in role.bucket
    }
    for number, body in there.items():
        site.put(_location(site.layout, role, number), body)
    if not here:
        return
    site.folder(site.layout.training_dir(role.name))
    for number, body in here.items():
        later = _EDITED_LATER_S if number in role.edited_here else 0.0
        site.write(site.layout.image(role.name, role.filename(number)), body, _taken(role, number) + later)
    if role.base:
        site.folder(f"{site.layout.folder(role.name)}/{role.base}")
        site.write(_base_path(site.layout, role), _encoded(base_image(actor), ".png"))
    _write_legacy(site, role, actor)
    if role.manifest:
        _write_manifest(site, role, original)


def _write_legacy(site: _Ground, role: Role, actor: Appearance) -> None:
    folder = site.layout.training_dir(role.name)
    urls = {role.filename(number): _url(site.layout, role, number) for number in role.bucket}
    prompts = {role.filename(number): prompt(actor, number) for number in sorted({*role.disk, *role.bucket})}
    job = f"train-{hashlib.sha1(role.name.encode(), usedforsecurity=False).hexdigest()[:12]}"
    if role.response:
        site.write_json(f"{folder}/{RESPONSE}", documents.response(list(urls.values()), role.response, job))
    if role.prompts:
        good = [role.filename(number) for number in role.good]
        made = f"{documents.stamp(_EPOCH)}Z"
        site.write_json(f"{folder}/{PROMPT_METADATA}", documents.prompt_metadata(prompts, urls, good, made))
    if role.older:
        half = len(urls) // 2
        first, second = dict(list(urls.items())[:half]), list(urls.values())[half:]
        site.write_json(f"{folder}/{OLD_MANIFEST}", documents.older_manifest(prompts, first))
        site.write_json(f"{folder}/{TRAINING_RESPONSE}", documents.response(second, "full", job))


def _write_manifest(site: _Ground, role: Role, original: Mapping[int, bytes]) -> None:
    rows = [
        documents.entry(
            role.filename(number),
            site.layout.image(role.name, role.filename(number)),
            size_bytes=len(original[number]),
            mtime=_taken(role, number),
            md5=_md5(original[number]),
            url=_url(site.layout, role, number) if number in role.bucket or number not in role.disk else None,
            checked=role.manifest == "synced",
        )
        for number in role.recorded
    ]
    number = actor_id(role.name)
    document = documents.manifest(role.name, number, _base_path(site.layout, role), rows, role.manifest, _EPOCH)
    site.write_json(site.layout.manifest(number), document)


def _edited(actor: Appearance, role: Role, number: int, offset: int) -> bytes:
    """Another picture under the same name."""
    return _encoded(portrait(actor, number + offset), role.suffix)


def _location(layout: Layout, role: Role, number: int) -> Location:
    if role.user_bucket:
        return Location(USER_BUCKET, f"{USER_ID}/custom_actor/{role.name}/training_data/{role.filename(number)}")
    return layout.location(role.name, role.filename(number))


def _url(layout: Layout, role: Role, number: int) -> str:
    return s3_url(_location(layout, role, number), layout.region)


def _base_path(layout: Layout, role: Role) -> str:
    kind = "base" if role.base == "base_image" else "poster"
    return f"{layout.folder(role.name)}/{role.base}/{role.name}_{kind}.png"


def _taken(role: Role, number: int) -> float:
    """When an image was made, seconds since the epoch."""
    return _EPOCH + 3600.0 * CAST.index(role) + 60.0 * number


def _write_crowd(site: _Ground, actors: int) -> DemoTree:
    images = objects = 0
    # One after the other: for small files, threads would only wait for the interpreter.
    for number in range(actors):
        here, there = _write_extra(site, number)
        images += here
        objects += there
    note = f"{actors:,} actors, {images:,} images on disk, {objects:,} objects in S3; about 9 of 10 are in both places"
    return DemoTree(site.root, actors, images, objects, (note,))


def _write_extra(site: _Ground, number: int) -> tuple[int, int]:
    """One actor of a large demo; how many images and how many objects were written."""
    layout = site.layout
    rng = random.Random(f"{_SEED}/{number}")  # noqa: S311 - pictures, not secrets
    name = f"{number:04d}_{rng.choice(ORIGINS)}_{rng.randint(16, 70)}_{rng.choice(('female', 'male'))}"
    actor = appearance(name, _SEED)
    picture = miniature(actor, 0)
    pictures = [_encoded(picture, ".jpg"), _encoded(ImageOps.mirror(picture), ".jpg")]
    site.folder(layout.training_dir(name))
    here = 0
    urls: list[str] = []
    for index in range(rng.randint(10, 20)):
        filename = f"{name}_{index}.jpg"
        body = _commented(pictures[index % len(pictures)], filename)
        # 90 % in both places and equal, 4 % on disk only, 3 % in S3 only, 3 % different.
        chance = rng.random()
        if not 0.94 <= chance < 0.97:
            site.write(layout.image(name, filename), body, _EPOCH + 60.0 * index)
            here += 1
        if not 0.90 <= chance < 0.94:
            location = layout.location(name, filename)
            site.put(location, body if chance < 0.97 else _commented(body, "retouched"))
            urls.append(s3_url(location, layout.region))
    if number % 3 == 0:
        site.write_json(
            f"{layout.training_dir(name)}/{RESPONSE}", documents.response(urls, "full", f"train-{number:06d}")
        )
    return here, len(urls)


def _encoded(picture: Image.Image, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        picture.save(buffer, "PNG", compress_level=4)
    else:
        picture.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _commented(jpeg: bytes, text: str) -> bytes:
    """The same JPEG picture in other bytes: `text` as a comment segment after the start marker (ISO 10918-1, B.2.4.5)."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + jpeg[2:]


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _refused(error: Exception, root: str) -> LocalError:
    return LocalError(
        f"the demo in {root} could not be written: {error}", hint="Choose a folder that can be written to."
    )
