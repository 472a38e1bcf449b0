"""Every status is what the table says, by an oracle that shares no code with it; and a run that learns nothing changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import codec, layout
from callsheet.layout import Layout
from callsheet.model import (
    Change,
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
from callsheet.reconcile import RACY_NS, change_of, expected_md5, needs_look, reconcile, trusted_md5

WHERE = Layout()
ACTOR = layout.shared_actor("0000_x")
NAME = "0000_x_1.png"
PLACE = WHERE.location(ACTOR.name, NAME)
URL = layout.s3_url(PLACE, WHERE.region)
OTHER_PLACE = Location("storyboard-user-files", f"9f0c/custom_actor/0000_x/training_data/{NAME}")
OTHER_URL = layout.s3_url(OTHER_PLACE, WHERE.region)
A, B, C = "a" * 32, "b" * 32, "c" * 32
MULTIPART, KMS = f"{C}-2", "d" * 32
THEN = datetime(2025, 10, 17, 16, 30, tzinfo=UTC)
NOW = THEN + timedelta(days=1)
MTIME_NS = 1_760_000_000_123_456_789


def local(md5: str = A, size_bytes: int = 10) -> LocalFile:
    return LocalFile(NAME, size_bytes, MTIME_NS, md5)


def remote(etag: str = A, size_bytes: int = 10, md5: str | None = None, place: Location = PLACE) -> RemoteObject:
    return RemoteObject(place, size_bytes, etag, THEN, md5=md5, md5_evidence=Evidence.MD5 if md5 else None)


def entry(
    status: Status | None, md5: str | None = A, etag: str | None = None, s3_md5: str | None = None, **more: object
) -> Entry:
    record = S3Record(etag, 10, THEN, s3_md5) if etag else None
    base = Entry(NAME, WHERE.image(ACTOR.name, NAME), 10, MTIME_NS / 1e9, md5, status=status, s3=record)
    return replace(base, evidence=Evidence.RECORDED, **more)  # type: ignore[arg-type]


RECORDS: dict[str, Entry | None] = {
    "nothing": None,
    "local": entry(Status.LOCAL_ONLY),
    "url never checked": entry(None, md5=None, s3_url=URL),
    "claimed synced": entry(Status.SYNCED, s3_url=URL),
    "proven synced": entry(Status.SYNCED, s3_url=URL, etag=A, s3_md5=A, synced_md5=A),
    "proven by md5": entry(Status.SYNCED, s3_url=URL, etag=KMS, s3_md5=A, synced_md5=A),
    "s3": entry(Status.S3_ONLY, md5=None, s3_url=URL, etag=MULTIPART),
    "out of sync": entry(Status.OUT_OF_SYNC, s3_url=URL, etag=B, s3_md5=B),
    "missing": entry(None, md5=A, alternate_s3_urls=(URL,)),
}
LOCALS: dict[str, LocalFile | Sight] = {
    "a": local(),
    "b": local(B),
    "larger": local(C, 11),
    "absent": Sight.ABSENT,
    "unknown": Sight.UNKNOWN,
}
REMOTES: dict[str, RemoteObject | Sight] = {
    "a": remote(),
    "b, told": remote(B, md5=B),
    "a, told": remote(MULTIPART, md5=A),
    "unproven": remote(KMS),
    "multipart": remote(MULTIPART),
    "absent": Sight.ABSENT,
    "unknown": Sight.UNKNOWN,
}
CASES = list(product(RECORDS, LOCALS, REMOTES))
KEPT = "as recorded"


def oracle(record: str, known: Entry | None, here: LocalFile | Sight, there: RemoteObject | Sight) -> str | None:
    """The status as the documentation tells it, in plain words. None: missing, or never heard of."""
    if here is Sight.UNKNOWN:
        return KEPT
    url = known is not None and known.s3_url is not None
    if there is Sight.UNKNOWN:
        if here is Sight.ABSENT:
            return "s3_only" if url else None
        assert isinstance(here, LocalFile)
        if not url:
            return "local_only"
        recorded_content = {"proven synced": A, "proven by md5": A, "claimed synced": A, "out of sync": B}.get(record)
        if recorded_content is None:  # never checked: nothing contradicts it but another size, if one was seen
            return "out_of_sync" if record == "s3" and here.size_bytes != 10 else "synced"
        return "synced" if here.md5 == recorded_content else "out_of_sync"
    if there is Sight.ABSENT:
        return "local_only" if isinstance(here, LocalFile) else None
    if here is Sight.ABSENT:
        return "s3_only"
    assert isinstance(here, LocalFile)
    assert isinstance(there, RemoteObject)
    recorded = {("proven synced", A): A, ("proven by md5", KMS): A, ("out of sync", B): B}.get((record, there.etag))
    content = here.md5 if there.etag == here.md5 else there.md5 or recorded
    if content:
        return "synced" if content == here.md5 else "out_of_sync"
    if there.size_bytes != here.size_bytes:
        return "out_of_sync"
    return "out_of_sync" if record == "out of sync" else "synced"


def _manifest(record: str) -> Manifest:
    known = RECORDS[record]
    if known is None:
        return Manifest(None)
    return Manifest(ACTOR.name, (), (known,)) if record == "missing" else Manifest(ACTOR.name, (known,))


def _seen(here: LocalFile | Sight, there: RemoteObject | Sight) -> Observation:
    objects = {NAME: there} if isinstance(there, RemoteObject) else {}
    return Observation(local={NAME: here}, listing=Listing(objects, complete=there is not Sight.UNKNOWN))


def _run(manifest: Manifest, seen: Observation, now: datetime = NOW) -> Manifest:
    return reconcile(manifest, seen, ACTOR, WHERE, lambda place: layout.s3_url(place, WHERE.region), now)[0]


@pytest.mark.parametrize(("record", "here", "there"), CASES)
def test_every_status_is_what_the_oracle_says(record: str, here: str, there: str) -> None:
    manifest = _manifest(record)
    result = _run(manifest, _seen(LOCALS[here], REMOTES[there]))
    wanted = oracle(record, RECORDS[record], LOCALS[here], REMOTES[there])
    if wanted == KEPT:
        assert (result.entries, result.missing) == (manifest.entries, manifest.missing)
    elif wanted is None:
        assert result.entries == ()
        known = LOCALS[here] is not Sight.ABSENT or RECORDS[record] is not None
        assert len(result.missing) == known
    else:
        assert [found.status for found in result.entries] == [Status(wanted)]
        assert result.missing == ()


@pytest.mark.parametrize(("record", "here", "there"), CASES)
def test_a_second_look_at_the_same_changes_nothing(record: str, here: str, there: str) -> None:
    seen = _seen(LOCALS[here], REMOTES[there])
    first = _run(_manifest(record), seen)
    assert _run(first, seen, NOW + timedelta(days=1)) == first


@pytest.mark.parametrize(("record", "here", "there"), CASES)
def test_no_url_and_no_content_is_ever_forgotten(record: str, here: str, there: str) -> None:
    known = RECORDS[record]
    result = _run(_manifest(record), _seen(LOCALS[here], REMOTES[there]))
    after = {found.filename: found for found in (*result.entries, *result.missing)}
    if known is not None:
        assert set(known.urls) <= set(after[NAME].urls)
    if isinstance(LOCALS[here], LocalFile) or (isinstance(REMOTES[there], RemoteObject) and here != "unknown"):
        assert NAME in after


@pytest.mark.parametrize(("record", "here", "there"), CASES)
def test_evidence_is_claimed_only_for_what_was_checked(record: str, here: str, there: str) -> None:
    result = _run(_manifest(record), _seen(LOCALS[here], REMOTES[there]))
    checked = REMOTES[there] is not Sight.UNKNOWN and LOCALS[here] is not Sight.UNKNOWN
    for found in result.entries:
        if found.evidence is not Evidence.RECORDED:
            assert checked
            assert found.checked_at == NOW
        if found.status is Status.SYNCED and found.evidence is not Evidence.RECORDED:
            assert found.s3
            assert found.s3.md5 == found.md5_hash == found.synced_md5


@pytest.mark.parametrize(
    ("there", "evidence"),
    [
        (remote(A), Evidence.ETAG),
        (remote(MULTIPART, md5=A), Evidence.MD5),
        (remote(MULTIPART)._replace(md5=A, md5_evidence=Evidence.MULTIPART_ETAG), Evidence.MULTIPART_ETAG),
        (remote(KMS)._replace(md5=A, md5_evidence=Evidence.CONTENT), Evidence.CONTENT),
        (remote(KMS)._replace(md5=B, md5_evidence=Evidence.CONTENT), Evidence.CONTENT),
        (remote(B, 11), Evidence.LISTED),
        (remote(KMS), Evidence.RECORDED),
        (Sight.ABSENT, Evidence.LISTED),
        (Sight.UNKNOWN, Evidence.RECORDED),
    ],
)
def test_a_status_says_how_it_is_known(there: RemoteObject | Sight, evidence: Evidence) -> None:
    result = _run(Manifest(None), _seen(local(), there)).entries[0]
    assert result.evidence is evidence
    assert result.checked_at == (None if evidence is Evidence.RECORDED else NOW)


def test_content_that_was_read_once_is_known_by_its_etag_from_then_on() -> None:
    read = remote(KMS)._replace(md5=A, md5_evidence=Evidence.CONTENT)
    first = _run(Manifest(None), _seen(local(), read))
    assert not needs_look(first.entries[0], local(), remote(KMS))
    assert _run(first, _seen(local(), remote(KMS)), NOW + timedelta(1)) == first
    assert needs_look(first.entries[0], local(), remote("e" * 32))


@pytest.mark.parametrize(
    ("here", "there", "looked"),
    [
        (local(), remote(KMS), True),
        (local(), remote(A), False),
        (local(), remote(KMS, 11), False),
        (local(), remote(KMS, md5=B), False),
    ],
)
def test_an_object_is_looked_at_only_if_nothing_else_tells(here: LocalFile, there: RemoteObject, looked: bool) -> None:
    assert needs_look(Entry(NAME, ""), here, there) is looked


@pytest.mark.parametrize(
    ("base", "here", "there", "change"),
    [
        (A, B, A, Change.LOCAL),
        (A, A, B, Change.S3),
        (A, B, C, Change.BOTH),
        (A, B, None, Change.BOTH),
        (A, A, None, Change.S3),
        (None, A, B, Change.UNKNOWN),
    ],
)
def test_the_side_that_changed_is_told_by_what_both_agreed_on(
    base: str | None, here: str, there: str | None, change: Change
) -> None:
    assert change_of(entry(Status.OUT_OF_SYNC, md5=here, etag="x", s3_md5=there, synced_md5=base)) is change


@pytest.mark.parametrize("status", [Status.SYNCED, Status.LOCAL_ONLY, Status.S3_ONLY, None])
def test_only_an_image_out_of_sync_has_a_change(status: Status | None) -> None:
    assert change_of(entry(status, synced_md5=A)) is None


SETTLED_NS = MTIME_NS + RACY_NS


@pytest.mark.parametrize(
    ("size_bytes", "mtime_ns", "settled_ns", "trusted"),
    [
        (10, MTIME_NS, SETTLED_NS, A),
        (10, MTIME_NS, SETTLED_NS - 1, None),
        (11, MTIME_NS, SETTLED_NS, None),
        (10, MTIME_NS + 1000, SETTLED_NS + 1000, None),
        (10, MTIME_NS - 1000, SETTLED_NS, None),
        (10, MTIME_NS, 0, None),
    ],
)
def test_a_hash_is_reused_only_for_the_same_settled_file(
    size_bytes: int, mtime_ns: int, settled_ns: int, trusted: str | None
) -> None:
    assert trusted_md5(entry(Status.LOCAL_ONLY), size_bytes, mtime_ns, settled_ns) == trusted


def test_a_record_without_a_local_file_lends_no_hash() -> None:
    assert trusted_md5(entry(Status.S3_ONLY), 10, MTIME_NS, SETTLED_NS) is None
    assert trusted_md5(None, 10, MTIME_NS, SETTLED_NS) is None


def test_bytes_that_changed_unnoticed_are_corrupt_until_they_are_right_again() -> None:
    sound = entry(Status.LOCAL_ONLY)
    assert expected_md5(sound, B, trusted=A) == A
    corrupt = replace(sound, md5_hash=B, expected_md5=A)
    assert expected_md5(corrupt, B, trusted=B) == A
    assert expected_md5(corrupt, A, trusted=B) is None
    assert expected_md5(corrupt, B, trusted=None) is None


def test_an_image_is_found_at_any_url_that_is_recorded_for_it() -> None:
    known = entry(Status.LOCAL_ONLY, alternate_s3_urls=(OTHER_URL,))
    there = remote(A, place=OTHER_PLACE)
    seen = Observation({NAME: local()}, listing=Listing({}, complete=True), elsewhere={OTHER_PLACE: there})
    found = _run(Manifest(ACTOR.name, (known,)), seen).entries[0]
    assert (found.status, found.s3_url, found.alternate_s3_urls) == (Status.SYNCED, OTHER_URL, ())


def test_an_object_that_left_its_url_is_followed_to_the_default_folder() -> None:
    known = entry(Status.SYNCED, s3_url=OTHER_URL)
    seen = Observation(
        {NAME: local()}, listing=Listing({NAME: remote()}, complete=True), elsewhere={OTHER_PLACE: Sight.ABSENT}
    )
    found = _run(Manifest(ACTOR.name, (known,)), seen).entries[0]
    assert (found.status, found.s3_url, found.alternate_s3_urls) == (Status.SYNCED, URL, (OTHER_URL,))


def test_a_place_that_could_not_be_looked_at_keeps_an_image_from_being_gone() -> None:
    known = entry(Status.S3_ONLY, md5=None, s3_url=OTHER_URL)
    seen = Observation(listing=Listing({}, complete=True))
    assert _run(Manifest(ACTOR.name, (known,)), seen).entries == (known,)


def test_what_legacy_files_say_is_taken_over_once() -> None:
    said = Legacy(
        {NAME: (URL, OTHER_URL), "0000_x_2.png": (URL.replace("_1", "_2"),)}, {NAME: "a face"}, frozenset({NAME})
    )
    first = _run(Manifest(None), Observation({NAME: local()}, legacy=said))
    assert [(found.filename, found.status) for found in first.entries] == [
        (NAME, Status.SYNCED),
        ("0000_x_2.png", Status.S3_ONLY),
    ]
    assert first.entries[0].urls == (URL, OTHER_URL)
    assert (first.entries[0].prompt, first.entries[0].good) == ("a face", True)
    unmarked = replace(first, entries=(replace(first.entries[0], good=False, prompt="mine"), *first.entries[1:]))
    again = _run(unmarked, Observation({NAME: local()}, legacy=said))
    assert (again.entries[0].prompt, again.entries[0].good) == ("mine", False)


@pytest.mark.parametrize("here", [Sight.ABSENT, Sight.UNKNOWN])
def test_a_dead_url_of_a_missing_image_is_kept(here: Sight) -> None:
    gone = entry(None, alternate_s3_urls=(OTHER_URL,))
    seen = Observation(
        {NAME: here},
        listing=Listing({}, complete=True),
        legacy=Legacy({NAME: (URL,)}),
        elsewhere={OTHER_PLACE: Sight.ABSENT},
    )
    assert set(_run(Manifest(ACTOR.name, (), (gone,)), seen).missing[0].urls) == {URL, OTHER_URL}


def test_an_image_that_comes_back_has_its_mark_and_prompt() -> None:
    gone = entry(None, good=True, prompt="a face")
    found = _run(Manifest(ACTOR.name, (), (gone,)), _seen(local(B), Sight.ABSENT)).entries[0]
    assert (found.status, found.good, found.prompt) == (Status.LOCAL_ONLY, True, "a face")


SIDES = st.tuples(st.sampled_from(sorted(LOCALS)), st.sampled_from(sorted(REMOTES)))


@given(history=st.lists(SIDES, min_size=1, max_size=8))
def test_marks_and_urls_survive_any_history(history: list[tuple[str, str]]) -> None:
    start = entry(Status.SYNCED, s3_url=OTHER_URL, good=True, prompt="a face")
    manifest = Manifest(ACTOR.name, (replace(start, source={"filename": NAME, "theirs": 1}),))
    for here, there in history:
        manifest = _run(manifest, _seen(LOCALS[here], REMOTES[there]))
        manifest = codec.decode(codec.dump_json(codec.encode(manifest, ACTOR)), "m.json")
    (found,) = (*manifest.entries, *manifest.missing)
    assert (found.good, found.prompt, found.source["theirs"]) == (True, "a face", 1)
    assert OTHER_URL in found.urls


def test_another_place_says_nothing_of_an_object_that_could_not_be_looked_at() -> None:
    """The same name in the default folder, with other content, while the recorded bucket does not answer."""
    known = entry(Status.SYNCED, s3_url=OTHER_URL, etag=A, s3_md5=A, synced_md5=A)
    seen = Observation({NAME: local()}, listing=Listing({NAME: remote(B, md5=B)}, complete=True))
    assert _run(Manifest(ACTOR.name, (known,)), seen).entries == (known,)


def test_a_record_that_is_no_image_is_left_as_it_is() -> None:
    tiff = replace(
        entry(Status.SYNCED, s3_url=URL.replace(".png", ".tiff")),
        filename="0000_x_1.tiff",
        local_path=WHERE.image(ACTOR.name, "0000_x_1.tiff"),
    )
    assert _run(Manifest(ACTOR.name, (tiff,)), Observation(listing=Listing({}, complete=True))).entries == (tiff,)


def test_a_url_with_a_version_is_another_url() -> None:
    versioned = f"{URL}?versionId=abc"
    known = entry(Status.SYNCED, s3_url=URL, etag=A, s3_md5=A, synced_md5=A)
    seen = replace(_seen(local(), remote()), legacy=Legacy({NAME: (versioned,)}))
    assert _run(Manifest(ACTOR.name, (known,)), seen).entries[0].urls == (URL, versioned)


def test_a_url_that_leads_nowhere_is_not_recorded_twice() -> None:
    """As with an endpoint whose URLs cannot be read back."""
    odd = "http://minio.local/elsewhere/x.png"
    seen = Observation({NAME: local()}, listing=Listing({NAME: remote()}, complete=True))
    manifest = Manifest(None)
    for _ in range(3):
        manifest = reconcile(manifest, seen, ACTOR, WHERE, lambda place: odd, NOW)[0]
        assert manifest.entries[0].urls == (odd,)


def test_a_missing_image_lends_its_hash_to_no_file() -> None:
    """What is recorded of it is the object's, and a file that comes may have the object's size and time."""
    assert trusted_md5(entry(None, md5=A), 10, MTIME_NS, SETTLED_NS) is None


def test_what_was_proven_by_reading_stays_proven_by_reading_after_an_edit() -> None:
    read = remote(KMS)._replace(md5=A, md5_evidence=Evidence.CONTENT)
    first = _run(Manifest(None), _seen(local(), read))
    edited = _run(first, _seen(local(B), remote(KMS))).entries[0]
    assert (edited.status, edited.evidence) == (Status.OUT_OF_SYNC, Evidence.CONTENT)


def test_a_status_that_follows_from_the_record_alone_was_never_checked() -> None:
    first = _run(Manifest(None), _seen(local(), remote()))
    edited = _run(first, _seen(local(B), Sight.UNKNOWN)).entries[0]
    assert (edited.status, edited.evidence, edited.checked_at) == (Status.OUT_OF_SYNC, Evidence.RECORDED, None)


def test_only_what_was_in_the_manifest_can_be_lost() -> None:
    said = Legacy({f"0000_x_{number}.png": (URL.replace("_1.png", f"_{number}.png"),) for number in range(2, 30)})
    seen = Observation(listing=Listing({}, complete=True), legacy=said)
    result, losses = reconcile(Manifest(None), seen, ACTOR, WHERE, lambda place: "", NOW)
    assert len(result.missing) == 28
    assert (losses.remote_recorded, losses.remote_gone) == (0, 0)
