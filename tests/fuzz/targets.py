"""Everything that reads bytes from outside: what it may do with any bytes, and what must be true of what it accepts.

A target's `check` raises nothing but `AssertionError`, and that only if a promise is broken.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from callsheet import codec, layout, legacy, planfile, settings
from callsheet.action import PastRun
from callsheet.errors import (
    BrokenListing,
    CallsheetError,
    ConfigError,
    ManifestError,
    PlanError,
    RemoteError,
    UsageError,
)
from callsheet.journal import Journal
from callsheet.layout import Layout
from callsheet.model import Entry, Location, Manifest
from callsheet.remote.answers import known_md5, read_head, read_page
from callsheet.remote.failures import Request, error_for, is_error, read_refusal
from callsheet.remote.multipart import _said
from callsheet.remote.names import is_md5
from callsheet.remote.reply import Reply, _Usual, receive
from callsheet.remote.transport import FOREIGN, lost
from callsheet.web.answers import has_tag
from fuzz import documents
from fuzz.documents import BUCKET, PREFIX
from pure.test_planfile import RUN, journal_of

FILE = "some/file"
WHERE = Layout(other_buckets=("second-bucket",))
ACTOR = layout.shared_actor("0000_x")
_LOCATION = Location(BUCKET, f"{PREFIX}0000_x/0000_x_1.png")
_MOST_BYTES = 1 << 20
_BROKEN = tuple(kind for kind in FOREIGN if kind is not ValueError)
_LARGEST = (1 << 63) - 1
"""The largest size that fits into 64 bits, which is what JSON, plans and other programs can count on."""


@dataclass(frozen=True)
class Target:
    """`inputs` are sound and unsound ones, most of them nearly sound."""

    check: Callable[[bytes], None]
    inputs: st.SearchStrategy[bytes]


def told(error: CallsheetError, place: str) -> None:
    """An error names the place, and can be printed whatever the input was."""
    assert place in str(error), error
    assert error.sentence.isprintable(), ascii(error.sentence)


def manifest(raw: bytes) -> None:
    """No key, URL or mark is lost; what is written reads back as it is, and is written in the same bytes again."""
    try:
        read = codec.decode(raw, FILE)
    except ManifestError as error:
        told(error, FILE)
        return
    images = (*read.entries, *read.missing)
    sizes = [
        found.size_bytes for image in images for found in (image, image.s3) if found and found.size_bytes is not None
    ]
    assert all(0 <= size_bytes <= _LARGEST for size_bytes in sizes)
    document = codec.encode(read, ACTOR)
    written = codec.dump_json(document)
    again = codec.decode(written, FILE)
    assert again == _named(read)
    assert codec.dump_json(codec.encode(again, ACTOR)) == written
    assert _stable(again)
    assert [key for key in document if key in read.source] == [*read.source]
    ours = {
        "character_id",
        "character_name",
        "training_data",
        "training_data_updated",
        "training_data_missing",
        "statistics",
    }
    assert all(document[key] == value for key, value in read.source.items() if key not in ours or key == "character_id")
    for key in ("training_data", "training_data_missing"):
        rows = read.source.get(key) or []
        assert [_kept(row) for row in rows] == [_kept(row) for row in document.get(key, [])]


def _named(read: Manifest) -> Manifest:
    return Manifest(read.names or ACTOR.name, read.entries, read.missing, read.updated)


def _stable(read: Manifest) -> bool:
    return read.updated is None or codec.learnt(read, ACTOR, read.updated) is None


_KEYS_OF_AN_ENTRY = frozenset(codec._encode_entry(Entry("a.png", ""))) | {
    "good",
    "prompt",
    "expected_md5",
    "removed_by",
    "alternate_s3_urls",
}


def _kept(row: Mapping[str, Any]) -> Any:
    """What must survive of an image: its name, its URLs, its mark and prompt, and keys that are not ours with their order."""
    urls = row.get("s3_url") or None, row.get("alternate_s3_urls") or []
    return (
        row["filename"],
        urls,
        row.get("good"),
        row.get("prompt"),
        [item for item in row.items() if item[0] not in _KEYS_OF_AN_ENTRY],
    )


def legacy_file(raw: bytes) -> None:
    """Every URL of an image of ours is said or told, wherever in the file it stands; so is every one of the list of URLs."""
    try:
        said = legacy.read(raw, FILE, WHERE)
    except ManifestError as error:
        told(error, FILE)
        return
    found = {url for urls in said.urls.values() for url in urls} | set(said.unplaced)
    for text, listed in _texts(json.loads(raw)):
        if listed or _names_an_image(text):
            assert text in found or layout.without_signature(text) in found, f"{text!r} is lost"
    assert all(layout.is_image(name) and layout.name_fault(name) is None for name in said.urls)
    assert all(layout.name_fault(name) is None for name in (*said.prompts, *said.good))


def _names_an_image(text: str) -> bool:
    """An object of S3 that is an image, or a plain URL of one elsewhere."""
    location = WHERE.locate(text)
    scheme, _, rest = text.partition("://")
    plain = (
        scheme.lower() in ("http", "https", "s3") and "/" in rest and not ({"?", "#"} & {*rest} or rest[:1].isspace())
    )
    return (plain and text.lower().endswith(layout.IMAGE_SUFFIXES)) or (
        location is not None and layout.is_image(layout.key_filename(location))
    )


def _texts(value: Any) -> list[tuple[str, bool]]:
    """All texts of a document, and whether they are in a list of URLs."""
    found, todo = [], [(value, False)]
    for item, listed in todo:
        if isinstance(item, str):
            found.append((item, listed))
        elif isinstance(item, dict):
            todo.extend((inner, listed or key == "s3_image_urls") for key, inner in item.items())
            todo.extend((key, False) for key in item)
        elif isinstance(item, list):
            todo.extend((inner, listed) for inner in item)
    return found


def plan(raw: bytes) -> None:
    """A plan that is read is written and read again as the same, and leads nowhere but to images of actors."""
    try:
        read = planfile.read_plan(raw, FILE)
    except PlanError as error:
        told(error, FILE)
        return
    written = codec.dump_json(planfile.plan_as_dict(read))
    again = planfile.read_plan(written, FILE)
    assert again == read
    assert codec.dump_json(planfile.plan_as_dict(again)) == written
    for action in read.actions:
        assert layout.name_fault(action.actor) is None
        assert layout.is_image(action.filename)
        assert not {"/", "\\", "\0"} & {*action.filename, *action.actor}


def journal(raw: bytes) -> None:
    """A run that is read is written and read again as the same; a look at its outcomes, and at the last run, ends as well."""
    with suppress(PlanError):
        read = _printable(lambda: planfile.read_journal(raw, FILE), FILE)
        assert _as_written(planfile.read_journal(journal_of(read), FILE)) == _as_written(read)
    with tempfile.TemporaryDirectory(prefix="callsheet-fuzz-") as folder:
        path = Path(folder, WHERE.journal(RUN))
        path.parent.mkdir(parents=True)
        path.write_bytes(raw)
        kept = Journal(folder, WHERE)
        for ask in (
            lambda: kept.outcomes(RUN, 0, 10),
            kept.unfinished,
            kept.latest_not_taken_back,
            lambda: kept.read_over(RUN),
        ):
            with suppress(UsageError):
                _printable(ask, "")


def _as_written(past: PastRun) -> tuple[Any, ...]:
    """Marks apart, for they are written by the run that makes them."""
    return past.id, past.verb, past.started, past.steps, past.ended, past.undoes


def _printable(ask: Callable[[], Any], place: str) -> Any:
    try:
        return ask()
    except CallsheetError as error:
        told(error, place)
        raise


def page(raw: bytes) -> None:
    """A page's keys are below the prefix and ascend; what it lacks is never made up."""
    try:
        read = read_page(raw, BUCKET, PREFIX, "")
    except BrokenListing as error:
        told(error, BUCKET)
        return
    keys = [found.location.key for found in read.objects]
    assert keys == sorted(set(keys))
    assert all(key.startswith(PREFIX) for key in keys)
    assert all(0 <= found.size_bytes <= _LARGEST for found in read.objects)
    assert b"<!DOCTYPE" not in raw.replace(b"\0", b""), "not in another encoding either"
    assert all(found.last_modified.tzinfo is not None for found in read.objects)


def error_body(raw: bytes) -> None:
    """An error is of ours, prints nothing that the store made up, and is taken for what it is."""
    request = Request("read", "GET", BUCKET, "a\x1b[31m.png")
    for status in (200, 301, 403, 404, 503):
        told(error_for(request, read_refusal(status, {}, raw)), BUCKET)
    assert is_error(raw) in (True, False)
    with suppress(RemoteError):
        assert _said(raw, "ETag", _LOCATION)


class Scripted:
    """A connection on which `raw` comes in pieces, and then its end."""

    def __init__(self, raw: bytes, piece_bytes: int) -> None:
        self._raw = memoryview(raw)
        self._piece_bytes = piece_bytes

    def recv(self, most_bytes: int) -> bytes:
        piece = bytes(self._raw[: min(most_bytes, self._piece_bytes)])
        self._raw = self._raw[len(piece) :]
        return piece

    def recv_into(self, buffer: memoryview) -> int:
        piece = self.recv(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def reply(raw: bytes) -> None:
    """An answer is read, however it comes in, as the standard library reads it, or the connection broke; an object is described or it is not."""
    for method in ("GET", "HEAD"):
        whole, *parts = [_received(raw, method, piece_bytes) for piece_bytes in (len(raw) + 1, 700, 7)]
        assert all(part == whole for part in parts)
        if not isinstance(whole, str):
            _described(whole[1])


def _received(raw: bytes, method: str, piece_bytes: int) -> Any:
    """Status, headers and body, or what is wrong with them."""
    try:
        got: Reply = receive(Scripted(raw, piece_bytes), method, last=False)  # type: ignore[arg-type]
        try:
            body = b""
            while block := got.read(_MOST_BYTES):
                body += block
                assert len(body) <= len(raw), "more was read than came"
            if isinstance(got, _Usual):
                _same_as_the_standard_library(raw, method, got, body)
            return got.status, dict(got.headers), body
        finally:
            got.close()
    except _BROKEN as error:  # a `ValueError` is what a request raises that cannot be sent
        return str(lost(error))


class _Replayed:
    """As much of a socket as the standard library wants."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _same_as_the_standard_library(raw: bytes, method: str, got: Reply, body: bytes) -> None:
    known = http.client.HTTPResponse(_Replayed(raw), method=method)  # type: ignore[arg-type]
    known.begin()
    assert (known.status, known.read()) == (got.status, body)
    # It leaves the blanks after a value, which are no part of it (RFC 9110, 5.5).
    assert {name.lower(): value.rstrip(" \t") for name, value in known.getheaders()} == dict(got.headers)


def _described(headers: Mapping[str, str]) -> None:
    try:
        found = read_head(_LOCATION, headers)
    except RemoteError as error:
        told(error, BUCKET)
        return
    assert 0 <= found.size_bytes <= _LARGEST
    assert found.last_modified.tzinfo is not None
    md5 = known_md5(found)
    assert md5 is None or is_md5(md5)


def url(raw: bytes) -> None:
    """What a URL leads to is an object, and the URLs that we write of it lead there, too."""
    text = raw.decode(errors="surrogateescape")
    location = WHERE.locate(text)
    WHERE.identity(text)
    if location is None:
        return
    assert re.match(r"[\0- ]*(https?|s3)://[^/?#]", re.sub(r"[\t\r\n]", "", text), re.IGNORECASE), (
        "it names a host or bucket"
    )
    assert location.key
    assert layout.is_bucket(location.bucket)
    if text.isprintable():
        assert WHERE.locate(layout.s3_url(location, "eu-west-2")) == location
        assert WHERE.locate(str(location)) == location
    signed = layout.without_signature(text)
    assert text.startswith(signed)
    assert not any(part.lower().startswith("x-amz-signature=") for part in signed.partition("?")[2].split("&"))


def name(raw: bytes) -> None:
    """A name that is taken can be a file's, and any can be told, sorted and compared."""
    text = raw.decode(errors="surrogateescape")
    assert layout.printable(text).isprintable()
    if layout.name_fault(text) is None:
        assert Path("folder", text).name == text
        assert len(text.encode()) <= 255
        assert layout.natural_key(text) == layout.natural_key(text)
    if layout.has_actor_form(text):
        assert layout.answers_to(layout.shared_actor(text), text)
    layout.twins([text, text.swapcase(), "a"])
    layout.manifest_stem(text)
    layout.number_of(text)
    assert layout.content_type(text)


def etag_list(raw: bytes) -> None:
    """A list of ETags that a client sent has the one that we gave, if it was put in."""
    header = raw.decode("latin-1")
    has_tag(header, '"a"')
    assert has_tag(f'{header}, "a"', '"a"')


def settings_file(raw: bytes) -> None:
    """The library opens on it, or is told which setting is wrong."""
    with tempfile.TemporaryDirectory(prefix="callsheet-fuzz-") as folder:
        Path(folder, settings.FILE).write_bytes(raw)
        try:
            opened = settings.load(folder, environ={})
        except ConfigError as error:
            told(error, "")
            return
        assert layout.is_bucket(opened.where.bucket)
        with suppress(UsageError):
            _printable(lambda: settings.open_library(folder, environ={}), "")


TARGETS: Mapping[str, Target] = {
    "manifest": Target(manifest, documents.manifests),
    "legacy": Target(legacy_file, documents.legacy_files),
    "plan": Target(plan, documents.plans),
    "journal": Target(journal, documents.journals),
    "page": Target(page, documents.pages),
    "error_body": Target(error_body, documents.error_bodies),
    "reply": Target(reply, documents.replies),
    "url": Target(url, documents.urls),
    "name": Target(name, documents.names),
    "etag_list": Target(etag_list, documents.etag_lists),
    "settings": Target(settings_file, documents.settings_files),
}
