"""A manifest keeps every key that is not ours, and what is not a manifest is refused with file and place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import codec, layout
from callsheet.errors import ManifestError
from callsheet.model import Entry, Evidence, Manifest, S3Record, Status

ACTOR = layout.shared_actor("0000_european_16_male")
SEED: dict[str, Any] = {
    "character_id": "0000",
    "character_name": "0000_european_16_male",
    "training_data": [
        {
            "filename": "0000_european_16_male_0.jpg",
            "local_path": "data/actors/0000_european_16_male/training_data/0000_european_16_male_0.jpg",
            "size_bytes": 328059,
            "size_mb": 0.31,
            "modified_timestamp": 1729176000.0,
            "modified_date": "2024-10-17T14:40:00.000000",
            "md5_hash": "0123456789abcdef0123456789abcdef",
            "s3_url": "https://story-boards-assets.s3.us-west-1.amazonaws.com/system_actors/training_data/0000_european_16_male/0000_european_16_male_0.jpg",
            "status": "synced",
        }
    ],
    "training_data_updated": "2025-10-17T16:30:00.000000",
    "statistics": {"training_images_count": 17},
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
OURS = {
    "character_id", "character_name", "training_data", "training_data_updated", "training_data_missing", "statistics",
}  # fmt: skip
ENTRY_KEYS = {
    "filename", "local_path", "size_bytes", "size_mb", "modified_timestamp", "modified_date", "md5_hash", "s3_url", "status",
    "good", "prompt", "evidence", "checked_at", "s3", "synced_md5", "expected_md5", "alternate_s3_urls",
}  # fmt: skip
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))  # noqa: DTZ001
MD5S = st.text("0123456789abcdef", min_size=32, max_size=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
ENTRIES = st.builds(
    Entry,
    filename=st.integers(0, 10**6).map(lambda number: f"a_{number}.png"),
    local_path=TEXTS,
    size_bytes=st.none() | st.integers(0, 2**50),
    modified_timestamp=st.none() | st.floats(0, 2**32),
    md5_hash=st.none() | MD5S,
    s3_url=st.none() | TEXTS,
    status=st.sampled_from([None, *Status]),
    good=st.none() | st.booleans(),
    prompt=st.none() | TEXTS,
    evidence=st.sampled_from([None, *Evidence]),
    checked_at=st.none() | TIMES,
    s3=st.none() | st.builds(S3Record, TEXTS, st.integers(0, 2**50), TIMES, st.none() | MD5S),
    synced_md5=st.none() | MD5S,
    expected_md5=st.none() | MD5S,
    alternate_s3_urls=st.lists(TEXTS, max_size=3).map(tuple),
)


def _decode(document: Any) -> Manifest:
    return codec.decode(json.dumps(document).encode(), "m.json")


def test_the_documented_manifest_is_read_and_written_key_for_key() -> None:
    written = codec.encode(_decode(SEED), ACTOR)
    assert list(written) == list(SEED)
    row = written["training_data"][0]
    assert list(row)[:9] == list(SEED["training_data"][0])
    assert {key: row[key] for key in SEED["training_data"][0]} == SEED["training_data"][0]
    assert list(row)[9:] == ["evidence", "checked_at", "s3", "synced_md5"]
    assert list(written["statistics"]) == [
        "training_images_count",
        "training_data_size_bytes",
        "training_data_size_mb",
        "training_synced_count",
        "training_local_only_count",
        "training_s3_only_count",
        "training_out_of_sync_count",
    ]


def test_a_new_manifest_has_the_documented_keys_in_their_order() -> None:
    assert list(codec.encode(Manifest(None), ACTOR)) == list(SEED)


@given(foreign=st.dictionaries(TEXTS.filter(lambda key: key not in OURS), JSON, max_size=5), order=st.randoms())
def test_keys_that_are_not_ours_survive_in_their_place(foreign: dict[str, Any], order: Any) -> None:
    items = [*SEED.items(), *foreign.items()]
    order.shuffle(items)
    document = dict(items)
    document["statistics"] = {"total_files": 3, **SEED["statistics"], "zz": [1]}
    written = codec.encode(_decode(document), ACTOR)
    assert [key for key in written if key in document] == list(document)
    assert {key: written[key] for key in foreign} == foreign
    assert written["statistics"]["total_files"] == 3
    assert written["statistics"]["zz"] == [1]
    assert codec.parse_json(codec.dump_json(written), "m.json", hint="") == written


@given(foreign=st.dictionaries(TEXTS.filter(lambda key: key not in ENTRY_KEYS), JSON, max_size=5))
def test_keys_of_an_image_that_are_not_ours_survive(foreign: dict[str, Any]) -> None:
    document = {**SEED, "training_data": [{**foreign, **SEED["training_data"][0]}]}
    row = codec.encode(_decode(document), ACTOR)["training_data"][0]
    assert list(row)[: len(foreign)] == list(foreign)
    assert {key: row[key] for key in foreign} == foreign


@given(entries=st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry.filename), split=st.integers(0, 6))
def test_a_manifest_reads_back_as_it_was_written(entries: list[Entry], split: int) -> None:
    manifest = Manifest(
        "0000_european_16_male", tuple(entries[split:]), tuple(entries[:split]), datetime(2025, 1, 1, tzinfo=UTC)
    )
    again = codec.decode(codec.dump_json(codec.encode(manifest, ACTOR)), "m.json")
    assert again == manifest
    assert codec.learnt(again, ACTOR, datetime(2026, 1, 1, tzinfo=UTC)) is None


def test_what_other_tools_may_write_survives() -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    document = {**SEED, "huge": 2**200, "float": 1.5e300, "deep": deep}
    data = codec.dump_json(codec.encode(_decode(document), ACTOR))
    assert codec.parse_json(data, "m.json", hint="")["huge"] == 2**200
    assert codec.parse_json(data, "m.json", hint="")["deep"] == deep


def test_times_and_sizes_are_derived_from_the_exact_values() -> None:
    entry = Entry("a.png", "p", size_bytes=328059, modified_timestamp=1760709600.25)
    row = codec.encode(Manifest(None, (entry,)), ACTOR)["training_data"][0]
    assert row["size_mb"] == 0.31
    assert row["modified_date"] == "2025-10-17T14:00:00.250000"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "not sound JSON"),
        (b"{", "line 1 column"),
        (b'{"training_data": [', "line 1 column"),
        (b"<html></html>", "line 1 column 1"),
        (b"\xef\xbb\xbf{}", "BOM"),
        (b'{"a": NaN}', "line 1 column 7"),
        (b'{"a": 1e999}', "infinity"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b'{"x": {"b": 1, "c": 0, "b": 1}}', "'b' occurs twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\xff"}', "not sound JSON"),
        (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "depth"),
        (b"[]", "the document is not an object but list"),
        (b"null", "the document is not an object"),
        (b'{"character_name": 7}', "character_name is not a string"),
        (b'{"character_name": "../etc"}', "character_name"),
        (b'{"statistics": []}', "statistics is not an object"),
        (b'{"training_data": {}}', "training_data is not an array but dict"),
        (b'{"training_data": ["a.png"]}', "training_data[0] is not an object but str"),
        (b'{"training_data": [{}]}', "training_data[0].filename is missing"),
        (b'{"training_data": [{"filename": "../a.png"}]}', "training_data[0].filename '../a.png' contains a slash"),
        (b'{"training_data": [{"filename": "a.png"}, {"filename": "a.png"}]}', "training_data[1] names 'a.png' a second time"),
        (b'{"training_data": [{"filename": "a.png"}], "training_data_missing": [{"filename": "a.png"}]}', "a second time"),
        (b'{"training_data": [{"filename": "a.png", "size_bytes": "1"}]}', "training_data[0].size_bytes is not an integer but str"),
        (b'{"training_data": [{"filename": "a.png", "size_bytes": true}]}', "size_bytes"),
        (b'{"training_data": [{"filename": "a.png", "good": "yes"}]}', "training_data[0].good is not true or false"),
        (b'{"training_data": [{"filename": "a.png", "modified_timestamp": 1e300}]}', "is not a time"),
        (b'{"training_data": [{"filename": "a.png", "s3": {"etag": "x"}}]}', "training_data[0].s3 lacks"),
        (b'{"training_data": [{"filename": "a.png", "checked_at": "soon"}]}', "checked_at 'soon' is not an ISO 8601 time"),
        (b'{"training_data": [{"filename": "a.png", "alternate_s3_urls": [1]}]}', "alternate_s3_urls"),
    ],
)  # fmt: skip
def test_what_is_not_a_manifest_is_refused_with_file_and_place(raw: bytes, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        codec.decode(raw, "data/m.json")
    assert str(caught.value).startswith("data/m.json")
    assert said in str(caught.value)
    assert caught.value.hint


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_manifest_or_a_told_error(raw: bytes) -> None:
    try:
        codec.decode(raw, "m.json")
    except ManifestError as error:
        assert "m.json" in str(error)  # noqa: PT017  either outcome is right


def test_a_placeholder_is_not_taken_for_a_hash_or_a_status() -> None:
    entry = _decode({"training_data": [{"filename": "a.png", "md5_hash": "abc123...", "status": "pending"}]}).entries[0]
    assert entry.md5_hash is None
    assert entry.status is None
