"""A multipart ETag is recognised, computed as S3 does, and the part size that made it is among the proposals."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import etag

MIB = 1024 * 1024
HEX = "9bb58f26192e4ba00f01e2e7b136bbd8"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (f"{HEX}-1", 1),
        (f'"{HEX}-3"', 3),
        (f"{HEX.upper()}-10000", 10_000),
        (HEX, None),
        (f'"{HEX}"', None),
        (f"{HEX}-0", None),
        (f"{HEX}-01", None),
        (f"{HEX}-", None),
        (f"{HEX}--1", None),
        (f"{HEX}-123456", None),
        (f"{HEX}-2-3", None),
        (f"{HEX}-2\n", None),
        (f"{HEX}-²", None),
        (f"{HEX[:-1]}-2", None),
        (f"W/{HEX}-2", None),
        ("", None),
    ],
)
def test_only_a_multipart_etag_names_its_parts(text: str, parts: int | None) -> None:
    assert etag.is_multipart(text) == parts


def test_the_etag_is_the_md5_of_the_parts_md5s() -> None:
    parts = [hashlib.md5(data).digest() for data in (b"one", b"two", b"3")]
    made = etag.multipart_etag(parts)
    assert made == hashlib.md5(b"".join(parts)).hexdigest() + "-3"
    assert etag.is_multipart(made) == 3


def test_an_upload_without_parts_has_no_etag() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        etag.multipart_etag([])


@pytest.mark.parametrize(
    ("size", "parts", "first"),
    [
        (20 * MIB, 3, 8 * MIB),  # the AWS CLI, although 7 MiB and 8 MB fit as well
        (20 * MIB, 4, 5 * MIB),
        (20 * MIB, 2, 16 * MIB),
        (16 * MIB, 2, 8 * MIB),  # a last part that is full
        (16 * MIB + 1, 3, 8 * MIB),
    ],
)
def test_the_likeliest_part_size_comes_first(size: int, parts: int, first: int) -> None:
    assert etag.part_sizes(size, parts)[0] == first


def test_decimal_part_sizes_are_proposed_after_binary_ones() -> None:
    assert etag.part_sizes(100_000_000, 10) == (10 * MIB, 10_000_000)


def test_a_file_too_large_for_the_usual_size_was_cut_into_larger_parts() -> None:
    size = 100 * 1024 * MIB
    assert etag.part_sizes(size, 6400)[0] == 16 * MIB  # the AWS CLI doubles its 8 MiB once
    assert etag.part_sizes(size, 9310)[0] == 11 * MIB  # rclone takes the smallest whole MiB


@pytest.mark.parametrize("size", [1, 5 * MIB, 7_654_321, 10**12])
def test_a_single_part_is_the_whole(size: int) -> None:
    assert etag.part_sizes(size, 1) == (size,)


def test_an_empty_object_has_one_part_of_some_size() -> None:
    assert etag.part_sizes(0, 1) == (1,)
    assert etag.part_sizes(0, 2) == ()


@pytest.mark.parametrize("parts", [0, 2, 9999])
def test_a_number_of_parts_that_no_usual_size_gives_has_no_proposal(parts: int) -> None:
    assert etag.part_sizes(1000, parts) == ()


@given(size=st.integers(0, 6 * 1024**4), part=st.sampled_from([5, 8, 10, 15, 16, 50, 64, 1024]))
def test_the_size_that_an_object_was_cut_with_is_proposed(size: int, part: int) -> None:
    parts = max(1, -(-size // (part * MIB)))
    sizes = etag.part_sizes(size, parts)
    assert parts == 1 or part * MIB in sizes
    assert len(set(sizes)) == len(sizes)
    assert all(max(1, -(-size // candidate)) == parts for candidate in sizes)
