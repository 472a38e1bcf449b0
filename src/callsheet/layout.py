"""The only module that knows paths, keys and URLs: where an actor's files lie, and what an S3 URL means.

Rules of this module: text in, text out; nothing is looked up on disk or network. Paths are relative to the
root, with forward slashes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_plus, urlsplit

from callsheet.model import Actor, Location

IMAGE_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
IMAGE_SUFFIXES = tuple(IMAGE_TYPES)
RESPONSE = "response.json"
PROMPT_METADATA = "prompt_metadata.json"
OLD_MANIFEST = "manifest.json"
TRAINING_RESPONSE = "training_response.json"
LEGACY_FILES = (PROMPT_METADATA, RESPONSE, TRAINING_RESPONSE, OLD_MANIFEST)
"""The one whose word counts most comes first."""

MANIFEST_SUFFIX = "_manifest.json"
JOURNAL_SUFFIX = ".jsonl"

_BASE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_MAX_NAME_BYTES = 255
_PLAIN_NAME = re.compile(r"[\w. -]{1,255}", re.ASCII)
_NUMBERS = re.compile(r"(\d+)", re.ASCII)
_LEADING_DIGITS = re.compile(r"\d+", re.ASCII)
_ACTOR_FORM = re.compile(r"\d+_\S.*", re.ASCII)
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}", re.ASCII)
_PLAIN_URL = re.compile(r"https?://([a-z0-9.-]+)(?::\d{1,5})?/([\w./~-]*)", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]", re.ASCII)
# Endpoints: https://docs.aws.amazon.com/general/latest/gr/s3.html (virtual-hosted, path-style, dual-stack, FIPS,
# accelerate, and the older dashed regions).
_AWS_HOST = re.compile(
    r"(?:(?P<bucket>[a-z0-9._-]+)\.)?s3(?:[.-](?:accelerate|fips|dualstack|external-1|[a-z]{2}(?:-[a-z]+)+-\d+))*\.amazonaws\.com(?:\.cn)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are. The fields are the settings of the same names; directories are relative to the root."""

    actors_dir: str = "data/actors"
    manifests_dir: str = "data/actor_manifests"
    state_dir: str = "data/.callsheet"
    bucket: str = "story-boards-assets"
    prefix: str = "system_actors/training_data"
    region: str = "us-west-1"
    other_buckets: tuple[str, ...] = ()

    def folder(self, actor_name: str) -> str:
        return f"{self.actors_dir}/{actor_name}"

    def training_dir(self, actor_name: str) -> str:
        return f"{self.actors_dir}/{actor_name}/training_data"

    def image(self, actor_name: str, filename: str) -> str:
        return f"{self.actors_dir}/{actor_name}/training_data/{filename}"

    def base_images(self, actor_name: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Where an actor's base image may lie, best first: folder, name without suffix, suffixes."""
        folder = self.folder(actor_name)
        return (
            (f"{folder}/base_image", f"{actor_name}_base", _BASE_SUFFIXES),
            (f"{folder}/poster_frame", f"{actor_name}_poster", IMAGE_SUFFIXES),
            (f"{folder}/poster_frame", actor_name, IMAGE_SUFFIXES),
        )

    def manifest(self, stem: str) -> str:
        return f"{self.manifests_dir}/{stem}{MANIFEST_SUFFIX}"

    def lock(self, stem: str) -> str:
        return f"{self.state_dir}/locks/{stem}.lock"

    def beacon(self, run_id: str) -> str:
        """The file by which workers of a cluster can tell that a tree is the one that a run is about."""
        return f"{self.state_dir}/beacons/{run_id}"

    @property
    def hashed_dir(self) -> str:
        return f"{self.state_dir}/hashed"

    def hashed_stamp(self, stem: str) -> str:
        return f"{self.hashed_dir}/{stem}"

    def memo(self, stem: str) -> str:
        return f"{self.state_dir}/memos/{stem}"

    def trash(self, run_id: str, path: str) -> str:
        """Where `path` lies in the trash of a run: below its own relative path, so that it says where it came from."""
        return f"{self.trash_dir}/{run_id}/{path}"

    @property
    def trash_dir(self) -> str:
        return f"{self.state_dir}/trash"

    @property
    def journal_dir(self) -> str:
        return f"{self.state_dir}/runs"

    def journal(self, run_id: str) -> str:
        """What a run did, step by step."""
        return f"{self.journal_dir}/{run_id}{JOURNAL_SUFFIX}"

    def thumbnail(self, key: str, width: int) -> str:
        """Where an image's thumbnail is kept; `key`, hex digits, stands for its content. All of them may be deleted at any time."""
        return f"{self.state_dir}/thumbnails/{key[:2]}/{key}_{width}.webp"

    @property
    def jobs_dir(self) -> str:
        return f"{self.state_dir}/jobs"

    def job(self, job_id: str) -> str:
        """What a server was asked to do, and what came of it."""
        return f"{self.jobs_dir}/{job_id}.json"

    def job_plan(self, job_id: str) -> str:
        return f"{self.jobs_dir}/plans/{job_id}.json"

    def job_problems(self, job_id: str) -> str:
        """All problems of a job that has more than its own file should hold."""
        return f"{self.jobs_dir}/problems/{job_id}.json"

    @property
    def s3_trash_prefix(self) -> str:
        """What all keys of the trash start with; it is in our own bucket, also for objects of others."""
        return f"{self.key_prefix()}.trash/"

    def s3_trash(self, run_id: str, location: Location) -> Location:
        """Where an object lies in the trash of a run: below its own bucket and key, so that it says where it came from."""
        return Location(self.bucket, f"{self.s3_trash_prefix}{run_id}/{location.bucket}/{location.key}")

    def key_prefix(self, actor_name: str = "") -> str:
        """What the keys of an actor's images (or of all actors') start with; ends in a slash unless it is empty."""
        start = f"{self.prefix}/" if self.prefix else ""
        return f"{start}{actor_name}/" if actor_name else start

    def location(self, actor_name: str, filename: str) -> Location:
        return Location(self.bucket, self.key_prefix(actor_name) + filename)

    def trashed_in_s3(self, location: Location) -> tuple[str, Location] | None:
        """The run and the place that an object of the trash came from; None for a key that is not the trash's."""
        rest = location.key.removeprefix(self.s3_trash_prefix)
        run_id, _, place = rest.partition("/")
        bucket, _, key = place.partition("/")
        if location.bucket != self.bucket or rest == location.key or not is_run_id(run_id):
            return None
        if not key or not is_bucket(bucket):
            return None
        return run_id, Location(bucket, key)

    def locate(self, url: str) -> Location | None:
        """Bucket and key of an S3 URL of any form, or None if it is not one.

        A host that is not Amazon's (a MinIO, a proxy) is read path-style from the first segment that is one of our
        buckets. The host itself is never contacted: requests go to the configured endpoint.
        """
        return _locate(url, self.bucket, self.other_buckets)

    def identity(self, url: str) -> object:
        """What two spellings of one URL have in common: the object and, if it names one, the version."""
        plain = without_signature(url)
        location = self.locate(plain)
        return (location, plain.partition("?")[2]) if location else plain


@lru_cache(maxsize=16384)  # a URL is asked for several times while its actor is worked on, then not again
def _locate(url: str, bucket: str, other_buckets: tuple[str, ...]) -> Location | None:
    if url.startswith("s3://"):
        named, _, key = url[len("s3://") :].partition("/")
        return _location(named, key)
    if plain := _PLAIN_URL.fullmatch(url):
        host, path = plain.groups()
    else:
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").lower()
            path = unquote_plus(parts.path[1:], errors="strict")
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            return None
    aws = _AWS_HOST.fullmatch(host)
    if aws and aws["bucket"]:
        return _location(aws["bucket"], path)
    if aws:
        named, _, key = path.partition("/")
        return _location(named, key)
    ours = {bucket, *other_buckets}
    start = 0
    for segment in path.split("/"):
        start += len(segment) + 1
        if segment in ours:
            return _location(segment, path[start:])
    return None


def s3_url(location: Location, region: str) -> str:
    """The canonical URL of an object on AWS, as manifests record it: virtual-hosted, or path-style for a bucket with dots."""
    key = quote(location.key, safe="/~")
    if "." in location.bucket:
        return f"https://s3.{region}.amazonaws.com/{location.bucket}/{key}"
    return f"https://{location.bucket}.s3.{region}.amazonaws.com/{key}"


def endpoint_url(location: Location, endpoint: str) -> str:
    """The path-style URL of an object at an S3-compatible endpoint."""
    return f"{endpoint.rstrip('/')}/{location.bucket}/{quote(location.key, safe='/~')}"


def without_signature(url: str) -> str:
    """`url` without query and fragment if it is presigned: a signature expires and is a secret until then."""
    head, _, query = url.partition("?")
    presigned = re.search(r"(?i)(^|&)(X-Amz-(Signature|Credential)|AWSAccessKeyId|Signature)=", query)
    return head if presigned else url


def key_filename(location: Location) -> str:
    """The last segment of a key."""
    return location.key.rpartition("/")[2]


def is_bucket(name: str) -> bool:
    return _BUCKET.fullmatch(name) is not None


def is_run_id(text: str) -> bool:
    """Whether `text` can be a run's id: it becomes part of paths and keys, so it holds nothing that could lead elsewhere."""
    return _RUN_ID.fullmatch(text) is not None


def is_image(filename: str) -> bool:
    return not filename.startswith(".") and filename.lower().endswith(IMAGE_SUFFIXES)


def content_type(filename: str) -> str:
    """The media type that an image's name stands for; for other names one that no browser shows."""
    _, dot, suffix = filename.lower().rpartition(".")
    return IMAGE_TYPES.get(dot + suffix, "application/octet-stream")


def name_fault(name: str) -> str | None:
    """Why `name` cannot be a file's or an actor's name in a manifest, or None if it can."""
    if name in ("", ".", ".."):
        return "is empty or a relative path"
    if _PLAIN_NAME.fullmatch(name):
        return None
    if "/" in name or "\\" in name:
        return "contains a slash or backslash"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "contains control characters"
    if size > _MAX_NAME_BYTES:
        return f"is longer than {_MAX_NAME_BYTES} bytes"
    return None


def printable(name: str) -> str:
    """`name` for a terminal or a log: control characters and undecodable bytes are shown as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in name
    )


def twins(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of names that differ in letter case or Unicode normalisation only, each sorted."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[unicodedata.normalize("NFC", name).casefold()].append(name)
    return [tuple(sorted(group)) for group in groups.values() if len(group) > 1]


def twins_told(group: Iterable[str]) -> str:
    """What is wrong with twins, in ASCII, so that they can be told apart."""
    shown = ", ".join(map(ascii, group))
    return f"these names differ in letter case or Unicode form only, which other systems confuse; rename one: {shown}"


def natural_key(name: str) -> tuple[object, ...]:
    """Sorts `_2` before `_10`; ties are broken by the plain name, so that the order is total."""
    texts = _NUMBERS.split(name)
    parts: list[object] = [*texts]
    parts[1::2] = map(int, texts[1::2])
    return tuple(parts), name


def manifest_stem(filename: str) -> str | None:
    """What comes before `_manifest.json` in a manifest's name; None for the name of another file. Hidden ones are no manifests."""
    ours = filename.endswith(MANIFEST_SUFFIX) and filename[0] not in "._"
    return filename.removesuffix(MANIFEST_SUFFIX) if ours else None


def actor_id(name: str) -> str:
    """The leading digits of a folder's name, as text; the whole name if it has none."""
    digits = _LEADING_DIGITS.match(name)
    return digits.group() if digits else name


def has_actor_form(name: str) -> bool:
    """Whether a folder that exists in S3 only is taken for an actor: digits, an underscore, a name."""
    return _ACTOR_FORM.fullmatch(name) is not None and name_fault(name) is None


def shared_actor(name: str) -> Actor:
    """The actor whose manifest is named by its id."""
    return Actor(name, actor_id(name), actor_id(name))


def own_actor(name: str) -> Actor:
    """The actor that has a manifest of its own because its id belongs to another."""
    return Actor(name, actor_id(name), name)


def answers_to(actor: Actor, wanted: str) -> bool:
    """Whether `wanted` (`0`, `0000` or the full name) means this actor."""
    if wanted in (actor.name, actor.id):
        return True
    number = number_of(wanted)
    return number is not None and number == number_of(actor.id)


def number_of(text: str) -> str | None:
    """What `0` and `0000` have in common: the number without leading zeros; None for a text that is no number."""
    return text.lstrip("0") if text.isascii() and text.isdigit() else None


def _location(bucket: str, key: str) -> Location | None:
    return Location(bucket, key) if key and is_bucket(bucket) else None
