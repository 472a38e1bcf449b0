"""An image is sound if it can be decoded to its last pixel; what cannot be known is not held against it."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image, features

from callsheet import layout
from callsheet.pictures import flaw

FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "avif": "AVIF", "bmp": "BMP"}
DECODED = [suffix for suffix in FORMATS if suffix != "avif" or features.check("avif")]


def encoded(suffix: str) -> bytes:
    """Noise, which does not compress: cut anywhere, pixels are lacking."""
    held = io.BytesIO()
    Image.effect_noise((64, 64), 80).convert("RGB").save(held, FORMATS[suffix])
    return held.getvalue()


def png(width: int, height: int, pixels: bytes = b"\0" * 1000) -> bytes:
    """A PNG whose header says that size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def told(folder: Path, name: str, content: bytes) -> str:
    """The flaw of a file that lies under another name, as one does that has just arrived."""
    path = folder / ".callsheet-1234.tmp"
    path.write_bytes(content)
    return flaw(str(path), name)


def test_every_suffix_of_an_image_is_tested_here() -> None:
    assert {f".{suffix}" for suffix in FORMATS} == set(layout.IMAGE_SUFFIXES)


@pytest.mark.parametrize("suffix", DECODED)
def test_a_sound_image_has_no_flaw(tmp_path: Path, suffix: str) -> None:
    assert told(tmp_path, f"a.{suffix}", encoded(suffix)) == ""
    assert told(tmp_path, f"A.{suffix.upper()}", encoded(suffix)) == ""


@pytest.mark.parametrize("suffix", DECODED)
@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_truncated_image_is_told(tmp_path: Path, suffix: str, percent: int) -> None:
    whole = encoded(suffix)
    assert told(tmp_path, f"a.{suffix}", whole[: len(whole) * percent // 100])


@pytest.mark.parametrize("suffix", DECODED)
@pytest.mark.parametrize("content", [b"", b"\0", b"hello", b"<html>Not found</html>", b"{}", b"\0" * 10_000])
def test_what_is_no_image_is_told(tmp_path: Path, suffix: str, content: bytes) -> None:
    assert told(tmp_path, f"a.{suffix}", content) == "it is not an image"


@pytest.mark.parametrize("suffix", DECODED)
def test_an_image_that_is_named_like_another_format_is_an_image(tmp_path: Path, suffix: str) -> None:
    assert told(tmp_path, f"a.{suffix}", encoded("png")) == ""


def test_of_a_format_that_nobody_here_can_read_nothing_is_known(tmp_path: Path) -> None:
    for name in ("a.heic", "a.jxl", "a"):
        assert told(tmp_path, name, b"\0\0\0\x18ftypheic") == ""


def test_pixels_that_were_flipped_are_told_where_the_format_has_checksums(tmp_path: Path) -> None:
    whole = bytearray(encoded("png"))
    whole[len(whole) // 2] ^= 0xFF
    assert told(tmp_path, "a.png", bytes(whole)).startswith("it cannot be decoded: ")


@pytest.mark.parametrize("side", [20_000, 100_000, 2**31 - 1])
def test_an_image_that_is_too_big_to_be_decoded_safely_is_not_decoded(tmp_path: Path, side: int) -> None:
    assert told(tmp_path, "a.png", png(side, side)) == ""


def test_a_big_image_is_decoded_without_a_word(tmp_path: Path) -> None:
    """One that Pillow warns of, and may be sound."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert told(tmp_path, "a.png", png(12_000, 12_000)).startswith("it cannot be decoded: ")
    assert warned == []


def test_many_threads_can_ask_at_once(tmp_path: Path) -> None:
    paths = []
    for number in range(16):
        path = tmp_path / f"{number}.png"
        path.write_bytes(png(9_500, 9_500) if number % 2 else encoded("png"))
        paths.append(str(path))
    with ThreadPoolExecutor(8) as pool:
        flaws = list(pool.map(lambda path: flaw(path, path), paths))
    assert set(flaws[::2]) == {""}
    assert {text.partition(" (")[0] for text in flaws[1::2]} == {"it cannot be decoded: image file is truncated"}


def test_a_header_that_promises_too_much_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(13_000, 13_000))
    (tmp_path / "b.png").write_bytes(png(100_000, 100_000))
    code = """
import resource, sys, time
from PIL import Image
from callsheet.pictures import flaw
Image.init()
before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
for path in sys.argv[1:]:
    flaw(path, path)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - started)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    kib, seconds = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    assert kib < 50_000
    assert seconds < 1


def test_a_file_that_is_not_there_or_a_folder_raises_nothing(tmp_path: Path) -> None:
    assert flaw(str(tmp_path / "nowhere.png"), "nowhere.png").startswith("it cannot be decoded: ")
    assert flaw(str(tmp_path), "a.png").startswith("it cannot be decoded: ")


def test_what_is_told_is_one_line(tmp_path: Path) -> None:
    for suffix in DECODED:
        whole = encoded(suffix)
        said = told(tmp_path, f"a.{suffix}", whole[: len(whole) // 2])
        assert said.isprintable()
        assert len(said) < 250


def test_a_file_that_another_program_would_have_to_read_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    assert flaw(str(path), path.name) == "it is not an image"
