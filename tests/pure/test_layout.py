"""Every form of an S3 URL means the same object, and a name that could do harm is not a name."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import layout
from callsheet.layout import Layout
from callsheet.model import Location

WHERE = Layout(other_buckets=("second-bucket",))
PHOTO = Location("my-bucket", "a/b c+d%.png")


@pytest.mark.parametrize(
    "url",
    [
        "https://my-bucket.s3.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3.us-west-1.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3.us-west-1.amazonaws.com/a/b+c%2Bd%25.png",
        "http://my-bucket.s3-us-west-2.amazonaws.com/a/b%20c%2bd%25.png",
        "https://MY-BUCKET.S3.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3.dualstack.eu-central-1.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3-accelerate.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3-accelerate.dualstack.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3-fips.us-gov-west-1.amazonaws.com/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3.cn-north-1.amazonaws.com.cn/a/b%20c%2Bd%25.png",
        "https://s3.amazonaws.com/my-bucket/a/b%20c%2Bd%25.png",
        "https://s3.us-west-1.amazonaws.com/my-bucket/a/b%20c%2Bd%25.png",
        "https://s3-us-west-1.amazonaws.com/my-bucket/a/b%20c%2Bd%25.png",
        "https://my-bucket.s3.us-west-1.amazonaws.com/a/b%20c%2Bd%25.png?X-Amz-Signature=abc&X-Amz-Expires=900",
        "https://my-bucket.s3.us-west-1.amazonaws.com:443/a/b%20c%2Bd%25.png?versionId=7",
        "s3://my-bucket/a/b c+d%.png",
    ],
)
def test_all_forms_of_a_url_mean_the_same_object(url: str) -> None:
    assert WHERE.locate(url) == PHOTO


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://cdn.example.com/my-bucket/a.png",
        "https://my-bucket.s3.us-west-1.amazonaws.com.example.com/a.png",
        "https://example.com/https://my-bucket.s3.amazonaws.com/a.png",
        "https://user@my-bucket.s3.amazonaws.com/a.png",
        "https://my-bucket.s3.amazonaws.com/",
        "https://s3.amazonaws.com/my-bucket",
        "https://s3.amazonaws.com/-/a.png",
        "https://my-bucket.s3.amazonaws.com/%ff.png",
        "https://[::1/a.png",
        "ftp://my-bucket.s3.amazonaws.com/a.png",
        "s3:///a.png",
        "data:image/png;base64,AAAA",
        "a.png",
    ],
)
def test_what_is_not_an_s3_url_is_not_guessed_at(url: str) -> None:
    assert WHERE.locate(url) is None


@pytest.mark.parametrize("bucket", ["story-boards-assets", "second-bucket"])
def test_another_host_is_read_path_style_for_our_own_buckets(bucket: str) -> None:
    assert WHERE.locate(f"http://127.0.0.1:9000/{bucket}/a/b.png") == Location(bucket, "a/b.png")


@given(
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    bucket=st.sampled_from(["my-bucket", "my.bucket"]),
)
def test_a_url_that_we_write_leads_back_to_its_object(key: str, bucket: str) -> None:
    location = Location(bucket, key)
    assert WHERE.locate(layout.s3_url(location, "eu-west-2")) == location


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_endpoint_url_that_we_write_leads_back_to_its_object(key: str) -> None:
    location = Location("second-bucket", key)
    assert WHERE.locate(layout.endpoint_url(location, "http://127.0.0.1:4566/")) == location


def test_a_signature_is_never_recorded() -> None:
    plain = "https://my-bucket.s3.amazonaws.com/a.png"
    assert layout.without_signature(f"{plain}?X-Amz-Credential=k&X-Amz-Signature=s") == plain
    assert layout.without_signature(f"{plain}?AWSAccessKeyId=k&Signature=s") == plain
    assert layout.without_signature(f"{plain}?versionId=3") == f"{plain}?versionId=3"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b.png",
        "..\\b.png",
        "a\x00.png",
        "a\nb.png",
        "\x1b[31m.png",
        "a\x7f.png",
        "\udcff.png",
        "x" * 252 + ".png",
    ],
)
def test_a_harmful_name_is_told(name: str) -> None:
    assert layout.name_fault(name)


@pytest.mark.parametrize(
    "name", ["a.png", "x" * 251 + ".png", "ü 1 + %20.jpg", "日本.webp", "-rf.png", "a..b.png", "ü.png"]
)
def test_an_unusual_name_is_a_name(name: str) -> None:
    assert layout.name_fault(name) is None


def test_images_are_told_by_their_suffix_in_any_case() -> None:
    images = ["a.jpg", "a.JPEG", "a.Png", "a.gif", "a.webp", "a.AVIF", "a.bmp"]
    others = [".hidden.jpg", "a.txt", "jpg", "response.json", "a.jpg.bak", "a.tiff"]
    assert all(layout.is_image(name) for name in images)
    assert not any(layout.is_image(name) for name in others)


def test_names_sort_naturally_and_totally() -> None:
    names = ["a_10.jpg", "a_2.jpg", "a_1.jpg", "a_01.jpg", "b.jpg", "10.jpg", "9.jpg"]
    assert sorted(names, key=layout.natural_key) == [
        "9.jpg",
        "10.jpg",
        "a_01.jpg",
        "a_1.jpg",
        "a_2.jpg",
        "a_10.jpg",
        "b.jpg",
    ]


@given(st.lists(st.text(alphabet="a1٣²_", max_size=6), unique=True), st.randoms())
def test_any_names_have_one_order(names: list[str], order: random.Random) -> None:
    shuffled = list(names)
    order.shuffle(shuffled)
    assert sorted(names, key=layout.natural_key) == sorted(shuffled, key=layout.natural_key)


def test_twins_are_found_across_case_and_normalisation() -> None:
    composed, decomposed = "\u00e9.png", "e\u0301.png"
    assert layout.twins([composed, decomposed, "a.png", "A.PNG", "b.png"]) == [
        (decomposed, composed),
        ("A.PNG", "a.png"),
    ]


@pytest.mark.parametrize(
    ("name", "number"), [("0000_european_16_male", "0000"), ("17_x", "17"), ("no_digits", "no_digits"), ("٣_x", "٣_x")]
)
def test_an_id_is_the_leading_digits(name: str, number: str) -> None:
    assert layout.actor_id(name) == number


@pytest.mark.parametrize("wanted", ["0", "00", "0000", "0000_european_16_male"])
def test_an_actor_answers_to_its_number_and_its_name(wanted: str) -> None:
    assert layout.answers_to(layout.shared_actor("0000_european_16_male"), wanted)


@pytest.mark.parametrize("wanted", ["1", "", "0000_", "²", "0000_european_16_female"])
def test_an_actor_answers_to_nothing_else(wanted: str) -> None:
    assert not layout.answers_to(layout.shared_actor("0000_european_16_male"), wanted)


def test_a_folder_in_s3_is_an_actor_only_by_its_form() -> None:
    assert layout.has_actor_form("0000_european_16_male")
    assert not any(map(layout.has_actor_form, [".trash", "thumbs", "0000", "0000_", "_0000", "0000_a\nb", ""]))
