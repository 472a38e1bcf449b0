"""Small pictures: made once for each content, kept on disk, few at a time.

What is kept below data/.callsheet/thumbnails may be deleted at any time: it is made again.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from PIL import Image, ImageOps

from callsheet import files, local
from callsheet.errors import ChangingFile, LocalError
from callsheet.layout import Layout
from callsheet.web.answers import ApiError
from callsheet.web.views import Size

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP")
"""Whatever an image is named, no other decoder sees it."""

_AT_A_TIME = 2
_FETCHED_AT_A_TIME = 8
_SIZES_KEPT = 100_000
_BLOCK_BYTES = 1 << 20
_QUALITY, _EFFORT = 80, 2
_TOO_MANY = "it has more pixels than is safe to decode"
_WIDTH_TAG, _HEIGHT_TAG = 0x0100, 0x0101
"""Of EXIF 2.32, 4.6.4: in a thumbnail they tell of the image that it was made of."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we refuse such images ourselves


class Width(IntEnum):
    """How many pixels wide and high a thumbnail is at most."""

    W128 = 128
    W256 = 256
    W512 = 512
    W1024 = 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that can be shown small. `key`, hex digits, stands for its content; `md5` is that content's, if it is known.

    `open` gives its bytes, and whether they still are what `key` stands for; it may take long if the image is `far`. Whoever calls closes them.
    `versions` are all words for this very content, which a URL may be cached for ever by.
    """

    key: str
    open: Callable[[], tuple[BinaryIO, bool]]
    versions: frozenset[str] = frozenset()
    md5: str | None = None
    far: bool = False


class Thumbnails:
    """The thumbnails of one tree. Safe to use from many threads."""

    def __init__(self, root: str, where: Layout, sizes: dict[str, Size]) -> None:
        """`sizes`, by MD5, is told the width and height of each image that is met; it is kept from growing without bounds."""
        self._root = root
        self._where = where
        self._sizes = sizes
        self._lock = threading.Lock()
        self._wanted: dict[tuple[str, int], Future[tuple[bytes, bool]]] = {}
        self._makers = ThreadPoolExecutor(_AT_A_TIME, "callsheet-thumbnails")
        self._fetchers = ThreadPoolExecutor(_FETCHED_AT_A_TIME, "callsheet-fetch")
        self._decoding = threading.BoundedSemaphore(_AT_A_TIME)

    def close(self) -> None:
        for pool in (self._makers, self._fetchers):
            pool.shutdown(wait=False, cancel_futures=True)

    def kept(self, picture: Picture, width: int) -> bytes | None:
        """The thumbnail, a WebP, if it was made before."""
        try:
            data = local.read_bytes(self._path(picture.key, width))
        except LocalError:
            return None
        if data is not None and picture.md5 and picture.md5 not in self._sizes:
            self._remember(picture.md5, _size_told(data))
        return data

    def made(self, picture: Picture, width: int) -> Future[tuple[bytes, bool]]:
        """The thumbnail as it will be, and whether it is of the content that `Picture.key` stands for; asked for twice at once, it is made once.

        Fails with `ApiError` (`not_an_image`), or with what `Picture.open` raises.
        """
        with self._lock:
            future = self._wanted.get((picture.key, width))
            if future is None:
                pool = self._fetchers if picture.far else self._makers
                future = self._wanted[picture.key, width] = pool.submit(self._make, picture, width)
                future.add_done_callback(lambda _: self._wanted.pop((picture.key, width), None))
            return future

    def _make(self, picture: Picture, width: int) -> tuple[bytes, bool]:
        if (data := self.kept(picture, width)) is not None:  # made since it was asked for
            return data, True
        file, as_keyed = picture.open()
        with file, self._decoding:
            before = _moment(file)
            proven = as_keyed and (picture.md5 is None or _md5_of(file) == picture.md5)
            data, size = rendered(file, width)
            if _moment(file) != before:
                raise ChangingFile("The image was written to while it was read", hint="Load it again.")
        if proven:
            if picture.md5:
                self._remember(picture.md5, size)
            with suppress(LocalError):  # a disk that is full or read-only: it is made again next time
                files.write_atomically(self._path(picture.key, width), data, flush_folder=False)
        return data, proven

    def _path(self, key: str, width: int) -> str:
        return os.path.join(self._root, self._where.thumbnail(key, width))

    def _remember(self, md5: str, size: Size | None) -> None:
        if size is None:
            return
        with self._lock:
            self._sizes[md5] = size
            while len(self._sizes) > _SIZES_KEPT:
                del self._sizes[next(iter(self._sizes))]


def key_of(*parts: object) -> str:
    """What stands for a content whose MD5 is not known."""
    told = "\0".join(map(str, parts)).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def rendered(file: BinaryIO, width: int) -> tuple[bytes, Size]:
    """A WebP of the image's first frame, upright, at most `width` pixels wide and high; and the size of the image itself.

    `ApiError` if it cannot be decoded, or has more pixels than Pillow deems safe (`Image.MAX_IMAGE_PIXELS`).
    """
    try:
        with Image.open(file, formats=_known_formats()) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
                raise no_image(_TOO_MANY)
            size = _upright(image)
            return _small(image, width, size), size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise no_image(_TOO_MANY) from error
    except (ApiError, LocalError):
        raise
    except Exception as error:  # decoders raise anything: OSError, SyntaxError, ValueError, struct.error
        raise no_image("it cannot be decoded") from error


def _small(image: Image.Image, width: int, size: Size) -> bytes:
    image.draft("RGB", (width, width))
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    exif = image.getexif()
    small = _plain(image)
    small.thumbnail((width, width), Image.Resampling.LANCZOS, reducing_gap=2.0)
    small.getexif().update(exif)
    small = ImageOps.exif_transpose(small)
    told = Image.Exif()
    told[_WIDTH_TAG], told[_HEIGHT_TAG] = size
    held = io.BytesIO()
    small.save(held, "WEBP", quality=_QUALITY, method=_EFFORT, exif=told, icc_profile=profile)
    return held.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    """The first frame in 8 bits a channel, with alpha if it has some."""
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value * (1 / 256))
        return image.convert("L").convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _upright(image: Image.Image) -> Size:
    """Width and height as they are shown: EXIF may say that it lies on its side."""
    lies = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    return (image.height, image.width) if lies else (image.width, image.height)


def _size_told(thumbnail: bytes) -> Size | None:
    """The size of the image that a thumbnail of ours was made of."""
    try:
        with Image.open(io.BytesIO(thumbnail), formats=("WEBP",)) as image:
            told = image.getexif()
            return int(told[_WIDTH_TAG]), int(told[_HEIGHT_TAG])
    except Exception:  # noqa: BLE001  it is no thumbnail of ours
        return None


def _known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _md5_of(file: BinaryIO) -> str:
    """Of the whole file: one that has rotten still has the size and time that are recorded."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
        file.seek(0)
    except OSError as error:
        raise local.failed("read", str(file.name), error) from error
    return digest.hexdigest()


def _moment(file: BinaryIO) -> tuple[int, int] | None:
    """Size and modification time of a file on disk; None for bytes in memory."""
    try:
        status = os.fstat(file.fileno())
    except io.UnsupportedOperation:
        return None
    return status.st_size, status.st_mtime_ns


def no_image(reason: str) -> ApiError:
    """The error that says why there can be no thumbnail."""
    return ApiError(
        415, "not_an_image", f"The image cannot be shown: {reason}", hint="Look at the file with another program."
    )
