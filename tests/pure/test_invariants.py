"""What any looks make of a manifest is sound by its own words; and a status, or a claim, that its record does not bear is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import codec, layout, reconcile
from callsheet.checkup import Code
from callsheet.invariants import manifest_findings, unfounded, without_claim
from callsheet.layout import Layout
from callsheet.model import (
    Entry,
    Evidence,
    Legacy,
    Listing,
    LocalFile,
    Location,
    Manifest,
    Observation,
    RemoteObject,
    S3Record,
    Sight,
    Status,
)

WHERE = Layout()
ACTOR = layout.shared_actor("0000_x")
NAMES = ("0000_x_2.png", "0000_x_10.png")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
A, B, C = "a" * 32, "b" * 32, "c" * 32
KMS, OTHER_KMS, PARTS = "d" * 32, "e" * 32, f"{'f' * 32}-2"
PROVEN = (Evidence.CONTENT, Evidence.MD5, Evidence.ETAG, Evidence.MULTIPART_ETAG)


def there(name: str, etag: str, size_bytes: int, told: tuple[str, Evidence] | None) -> RemoteObject:
    md5, evidence = told or (None, None)
    return RemoteObject(WHERE.location(ACTOR.name, name), size_bytes, etag, NOW, md5=md5, md5_evidence=evidence)


UNKNOWN, ABSENT = Sight.UNKNOWN, Sight.ABSENT
SIZES = {A: 10, B: 9, C: 10}
"""Contents, by their MD5: two have one size."""

FILES = st.one_of(
    st.sampled_from([UNKNOWN, ABSENT]),
    st.sampled_from([LocalFile("", size, 1_760_000_000_123_456_789, md5) for md5, size in SIZES.items()]),
)
OBJECTS = st.one_of(
    st.sampled_from([UNKNOWN, ABSENT]),
    st.sampled_from(
        [
            (A, 10, None),
            (B, 9, (B, Evidence.ETAG)),
            (PARTS, 10, None),
            (PARTS, 10, (A, Evidence.MULTIPART_ETAG)),
            (KMS, 9, None),
            (KMS, 9, (B, Evidence.MD5)),
            (OTHER_KMS, 10, None),
            (OTHER_KMS, 10, (C, Evidence.CONTENT)),
        ]
    ),
)
LOOKS = st.lists(st.tuples(FILES, OBJECTS), min_size=len(NAMES), max_size=len(NAMES))


def seen(looks: list[tuple[object, object]], legacy: Legacy) -> Observation:
    local = {
        name: replace(file, filename=name) if isinstance(file, LocalFile) else file
        for name, (file, _) in zip(NAMES, looks, strict=True)
    }
    objects = {name: there(name, *one) for name, (_, one) in zip(NAMES, looks, strict=True) if isinstance(one, tuple)}
    complete = all(one is not UNKNOWN for _, one in looks)
    return Observation(local=local, listing=Listing(objects, complete), legacy=legacy)  # type: ignore[arg-type]


@given(history=st.lists(LOOKS, min_size=1, max_size=6), told=st.booleans())
def test_whatever_was_looked_at_the_manifest_is_sound(history: list[list[tuple[object, object]]], told: bool) -> None:
    manifest = Manifest(None)
    urls = {NAMES[0]: (layout.s3_url(Location("other-bucket", NAMES[0]), WHERE.region),)} if told else {}
    for looks in history:
        after, _ = reconcile.reconcile(
            manifest, seen(looks, Legacy(urls)), ACTOR, WHERE, lambda place: layout.s3_url(place, WHERE.region), NOW
        )
        manifest = codec.decode(codec.dump_json(codec.encode(after, ACTOR)), "m.json")
        assert list(manifest_findings(manifest, ACTOR, WHERE, NOW)) == []


def entry(status: Status, evidence: Evidence, s3: S3Record | None, checked_at: datetime | None = NOW) -> Entry:
    url = layout.s3_url(WHERE.location(ACTOR.name, NAMES[0]), WHERE.region)
    return Entry(
        NAMES[0],
        WHERE.image(ACTOR.name, NAMES[0]),
        10,
        1_760_000_000.0,
        A,
        None if status is Status.LOCAL_ONLY else url,
        status,
        evidence=evidence,
        checked_at=checked_at,
        s3=s3,
    )


def record(etag: str, md5: str | None, size_bytes: int = 10) -> S3Record:
    return S3Record(etag, size_bytes, NOW, md5)


@pytest.mark.parametrize(
    ("status", "evidence", "s3"),
    [
        (Status.SYNCED, Evidence.ETAG, record(A, A)),
        (Status.SYNCED, Evidence.MD5, record(KMS, A)),
        (Status.SYNCED, Evidence.CONTENT, record(PARTS, A)),
        (Status.SYNCED, Evidence.MULTIPART_ETAG, record(PARTS, A)),
        (Status.SYNCED, Evidence.RECORDED, None),
        (Status.OUT_OF_SYNC, Evidence.ETAG, record(B, B)),
        (Status.OUT_OF_SYNC, Evidence.LISTED, record(KMS, None, 9)),
        (Status.OUT_OF_SYNC, Evidence.RECORDED, record(KMS, None)),
        (Status.LOCAL_ONLY, Evidence.LISTED, None),
        (Status.S3_ONLY, Evidence.LISTED, record(A, A)),
    ],
)
def test_a_claim_that_the_record_bears_is_sound(status: Status, evidence: Evidence, s3: S3Record | None) -> None:
    assert unfounded(entry(status, evidence, s3)) == ""


@pytest.mark.parametrize(
    ("status", "evidence", "s3"),
    [
        *((Status.SYNCED, evidence, None) for evidence in PROVEN),
        *((Status.SYNCED, evidence, record(B, B)) for evidence in PROVEN),
        *((Status.OUT_OF_SYNC, evidence, record(A, A)) for evidence in PROVEN),
        *((status, evidence, record(A, A)) for evidence in PROVEN for status in (Status.LOCAL_ONLY, Status.S3_ONLY)),
        (Status.SYNCED, Evidence.ETAG, record(KMS, A)),
        (Status.SYNCED, Evidence.MULTIPART_ETAG, record(A, A)),
        (Status.SYNCED, Evidence.LISTED, record(A, A)),
        (Status.OUT_OF_SYNC, Evidence.LISTED, record(KMS, None)),
    ],
)
def test_a_claim_that_the_record_does_not_bear_is_named(
    status: Status, evidence: Evidence, s3: S3Record | None
) -> None:
    claiming = entry(status, evidence, s3)
    assert unfounded(claiming)
    assert unfounded(without_claim(claiming)) == ""


def test_a_claim_says_since_when() -> None:
    assert unfounded(entry(Status.SYNCED, Evidence.ETAG, record(A, A), checked_at=None))


@pytest.mark.parametrize("wrong", Status)
def test_only_the_status_that_follows_from_the_record_is_sound(wrong: Status) -> None:
    right = entry(Status.SYNCED, Evidence.ETAG, record(A, A))
    manifest = Manifest(ACTOR.name, (replace(right, status=wrong),))
    manifest = codec.decode(codec.dump_json(codec.encode(manifest, ACTOR)), "m.json")
    codes = {found.code for found in manifest_findings(manifest, ACTOR, WHERE, NOW)}
    # Of an image that is only in S3, nothing is recorded that the record of both sides could contradict, but how it is known.
    expected = {Status.SYNCED: set(), Status.S3_ONLY: {Code.EVIDENCE}}.get(wrong, {Code.STATUS, Code.EVIDENCE})
    assert codes == expected


def test_a_manifest_of_an_older_system_is_no_breach() -> None:
    url = layout.s3_url(WHERE.location(ACTOR.name, NAMES[0]), WHERE.region)
    rows = [
        {"filename": NAMES[0], "local_path": WHERE.image(ACTOR.name, NAMES[0]), "s3_url": url, "status": "synced", "md5_hash": A},
        {"filename": NAMES[1], "local_path": WHERE.image(ACTOR.name, NAMES[1]), "s3_url": None, "status": "local_only", "md5_hash": "?"},
    ]  # fmt: skip
    document = {"character_id": "0000", "character_name": ACTOR.name, "training_data": rows}
    found = manifest_findings(codec.decode(codec.dump_json(document), "m.json"), ACTOR, WHERE, NOW)
    assert [one.code for one in found] == [Code.FORM]
