"""Whatever shape a legacy file has, no image URL in it goes unseen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import legacy
from callsheet.errors import ManifestError
from callsheet.layout import Layout
from callsheet.model import Legacy

WHERE = Layout()
ONE = "https://story-boards-assets.s3.us-west-1.amazonaws.com/system_actors/training_data/0000_x/0000_x_1.png"
TWO = "https://storyboard-user-files.s3.us-west-1.amazonaws.com/9f0c/custom_actor/0000_x/training_data/0000_x_2.png"


def _read(document: Any) -> Legacy:
    return legacy.read(json.dumps(document).encode(), "response.json", WHERE)


@pytest.mark.parametrize(
    "document",
    [
        {"output": {"output": {"s3_image_urls": [ONE, TWO], "job_id": "j"}, "status": "x"}, "status": "COMPLETED"},
        {"output": {"output": {"s3_image_urls": [ONE, TWO]}}},
        {"s3_image_urls": [ONE, TWO]},
        {"output": {"images": [{"url": ONE}, {"url": TWO}], "log": "done, see https://example.com/job/1"}},
        {"output": {"output": {"s3_image_urls": [ONE, None, TWO]}}},
    ],
)
def test_urls_are_found_in_every_shape(document: Any) -> None:
    said = _read(document)
    assert said.urls == {"0000_x_1.png": (ONE,), "0000_x_2.png": (TWO,)}
    assert said.unplaced == ()


def test_an_image_recorded_at_several_places_keeps_them_all() -> None:
    other = TWO.replace("0000_x_2.png", "0000_x_1.png")
    assert _read({"s3_image_urls": [ONE, other, ONE]}).urls == {"0000_x_1.png": (ONE, other)}


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.example.com/0000_x_1.png",
        "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/notes.txt",
        "https://story-boards-assets.s3.us-west-1.amazonaws.com/a/%2e%2e%2f%00.png",
        "0000_x_1.png",
        "",
    ],
)
def test_a_url_that_names_no_image_is_told_not_dropped(url: str) -> None:
    assert _read({"s3_image_urls": [url, ONE]}).unplaced == (url,)


def test_an_image_url_that_is_not_in_s3_counts_wherever_it_stands() -> None:
    assert _read({"result": {"preview": "https://cdn.example.com/x.png"}}).unplaced == (
        "https://cdn.example.com/x.png",
    )


@pytest.mark.parametrize("document", [{}, {"error": "CUDA out of memory", "status": "FAILED"}, {"output": None}])
def test_an_error_body_says_nothing(document: Any) -> None:
    assert _read(document) == Legacy()


@pytest.mark.parametrize("raw", [b"<html>502</html>", b"[]", b'"x"', b"", b"{", b"null"])
def test_what_is_no_json_object_is_an_error(raw: bytes) -> None:
    with pytest.raises(ManifestError, match=r"response\.json"):
        legacy.read(raw, "response.json", WHERE)


def test_prompts_and_marks_are_read_by_filename() -> None:
    said = _read(
        {
            "images": {
                "0000_x_1.png": {"prompt": "a face", "good": True, "s3_url": ONE, "generated_at": "2025"},
                "0000_x_2.png": {"good": False, "s3_url": TWO},
                "0000_x_3.png": "no object",
            }
        }
    )
    assert said.prompts == {"0000_x_1.png": "a face"}
    assert said.good == {"0000_x_1.png"}
    assert set(said.urls) == {"0000_x_1.png", "0000_x_2.png"}


def test_a_url_belongs_to_the_filename_it_stands_under() -> None:
    assert _read({"images": {"renamed.png": {"s3_url": ONE}}}).urls == {"renamed.png": (ONE,)}


def test_a_signature_is_cut_off() -> None:
    assert _read({"s3_image_urls": [f"{ONE}?X-Amz-Signature=secret"]}).urls == {"0000_x_1.png": (ONE,)}


def test_files_are_merged_and_the_first_prompt_rules() -> None:
    first = Legacy({"a.png": (ONE,)}, {"a.png": "first"}, frozenset({"a.png"}))
    second = Legacy({"a.png": (TWO, ONE)}, {"a.png": "second", "b.png": "b"}, frozenset(), ("x",))
    assert legacy.merged({"1": first, "2": second}) == Legacy(
        {"a.png": (ONE, TWO)}, {"a.png": "first", "b.png": "b"}, frozenset({"a.png"}), ("x",)
    )


KEYS = st.text(min_size=1, max_size=5) | st.sampled_from(["s3_image_urls", "images", "output", "0000_x_1.png"])
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        st.sampled_from([ONE, TWO, 1, None, "text"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
        max_leaves=15,
    ),
    max_size=5,
)


@given(DOCUMENTS)
def test_no_url_is_lost_whatever_the_shape(document: dict[str, Any]) -> None:
    said = _read(document)
    found = {url for urls in said.urls.values() for url in urls} | set(said.unplaced)
    text = json.dumps(document)
    assert all(url in found for url in (ONE, TWO) if json.dumps(url) in text.replace(f"{json.dumps(url)}:", ""))
