"""What the files that manifests replace still say: URLs, prompts and marks.

Rules of this module: bytes in, `Legacy` out; no I/O. Four kinds of file are read; their shapes are told in
`docs/manifest.md`. Whatever looks like an image's URL is taken, wherever in the file it stands: a shape that nobody
thought of must not cost a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from callsheet import codec, layout
from callsheet.errors import ManifestError
from callsheet.layout import Layout
from callsheet.model import Legacy, Manifest

_URL = re.compile(r"(?:https?|s3)://\S", re.IGNORECASE)
_URL_LIST = "s3_image_urls"
_BY_NAME = "images"
_MEND = "Mend the file, or move it away if nothing in it is needed, then run sync again; it stays as it is."


def read(raw: bytes, name: str, where: Layout) -> Legacy:
    """What one legacy file says; `name` is its path, for errors.

    `ManifestError` if it is not a JSON object. A body without URLs (an error's) is sound and says nothing.
    """
    document = codec.parse_json(raw, name, hint=_MEND)
    if not isinstance(document, dict):
        raise ManifestError(f"{name}: the document is not an object but {type(document).__name__}", hint=_MEND)
    urls: dict[str, list[str]] = {}
    unplaced: list[str] = []
    for url, filename in _urls(document, None, where, listed=False):
        placed = _place(url, filename, where)
        if placed is None:
            unplaced.append(url)
        else:
            urls.setdefault(placed, []).append(layout.without_signature(url))
    prompts, good = _by_name(document.get(_BY_NAME))
    return Legacy({key: tuple(dict.fromkeys(found)) for key, found in urls.items()}, prompts, good, tuple(unplaced))


def lacking(said: Legacy, manifest: Manifest, where: Layout) -> list[str]:
    """The URLs of a legacy file that the manifest does not record."""
    recorded = {where.identity(url) for entry in (*manifest.entries, *manifest.missing) for url in entry.urls}
    return [url for urls in said.urls.values() for url in urls if where.identity(url) not in recorded]


def merged(files: Mapping[str, Legacy]) -> Legacy:
    """Several files' sayings as one; where two name a prompt, the first one's rules."""
    urls: dict[str, tuple[str, ...]] = {}
    prompts: dict[str, str] = {}
    for said in files.values():
        for filename, found in said.urls.items():
            urls[filename] = tuple(dict.fromkeys((*urls.get(filename, ()), *found)))
        prompts = {**said.prompts, **prompts}
    good = frozenset().union(*(said.good for said in files.values()))
    return Legacy(urls, prompts, good, tuple(url for said in files.values() for url in said.unplaced))


def _urls(value: Any, filename: str | None, where: Layout, *, listed: bool) -> Iterator[tuple[str, str | None]]:
    """Every image URL below `value`, with the filename that its place in the file gives it, if any.

    All strings of a list `s3_image_urls` count; elsewhere, and among the keys, those that are URLs whose path ends like an image's.
    """
    if isinstance(value, str):
        if listed or _is_image_url(value, where):
            yield value, filename
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item, filename, where, listed=listed)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _urls(key, filename, where, listed=False)
            named = key if layout.is_image(key) and layout.name_fault(key) is None else filename
            yield from _urls(item, named, where, listed=listed or key == _URL_LIST)


def _is_image_url(text: str, where: Layout) -> bool:
    """Whether it is a URL that ends like an image's: the key that it stands for, or its path. They differ: a key may hold `#`, or be encoded."""
    location = where.locate(text)
    if location is not None and location.key.lower().endswith(layout.IMAGE_SUFFIXES):
        return True
    return _URL.match(text) is not None and _path(text).lower().endswith(layout.IMAGE_SUFFIXES)


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return url


def _place(url: str, filename: str | None, where: Layout) -> str | None:
    """The filename of the image that `url` is recorded for, None if there can be none."""
    location = where.locate(url)
    if location is None:
        return None
    placed = filename or layout.key_filename(location)
    return placed if layout.is_image(placed) and layout.name_fault(placed) is None else None


def _by_name(images: object) -> tuple[dict[str, str], frozenset[str]]:
    """Prompts and good marks of `{"images": {filename: {"prompt": …, "good": …}}}`; other shapes say nothing."""
    prompts: dict[str, str] = {}
    good: set[str] = set()
    for filename, said in images.items() if isinstance(images, dict) else ():
        if not isinstance(said, dict) or layout.name_fault(filename) is not None:
            continue
        if isinstance(said.get("prompt"), str):
            prompts[filename] = said["prompt"]
        if said.get("good") is True:
            good.add(filename)
    return prompts, frozenset(good)
