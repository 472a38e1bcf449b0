"""Whether a run did its work: each check returns what is wrong, empty if nothing is. None of them is measured."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping

import orjson
from benchmarks.ground import WHERE, Ground
from botocore.session import Session  # type: ignore[import-untyped]

from servers import REGION, Server

_PROOF = "etag"


def counted(trees: Ground, out: str) -> str:
    """Whether a report in JSON tells that all images are synced."""
    report = json.loads(out)
    wanted = {"actors": trees.actors, "images": trees.images, "synced": trees.images, "problems": []}
    wrong = [f"{key} is {report[key]!r}" for key, value in wanted.items() if report[key] != value]
    return ", ".join(wrong)


def synced(trees: Ground, out: str, written: int) -> str:
    """Whether a sync saw and wrote what it had to."""
    if wrong := counted(trees, out):
        return wrong
    if (updated := json.loads(out)["manifests_updated"]) != written:
        return f"{updated} manifests were written"
    return recorded(trees, trees.root)


def recorded(trees: Ground, root: str) -> str:
    """Whether every manifest of the tree at `root` says that its images are synced, with their MD5s, and proven by the ETag."""
    md5s = {}
    folder = os.path.join(root, WHERE.manifests_dir)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            manifest = orjson.loads(file.read())
        for entry in manifest["training_data"]:
            md5s[f"{manifest['character_name']}/{entry['filename']}"] = entry["md5_hash"]
            if (entry["status"], entry["evidence"]) != ("synced", _PROOF):
                return f"{entry['filename']} is {entry['status']} by {entry['evidence']}, not synced by {_PROOF}"
    return "" if md5s == trees.md5s else "the manifests have other MD5s than the images"


def all_equal(trees: Ground, err: str) -> str:
    """Whether `rclone check` compared all files."""
    found = {word: int(number) for number, word in re.findall(r"(\d+) (differences found|matching files)", err)}
    return "" if found == {"differences found": 0, "matching files": trees.images} else err.strip() or "it said nothing"


def same_sums(trees: Ground, out: str) -> str:
    """Whether `rclone hashsum` found every MD5."""
    sums = {path: md5 for md5, path in (line.split("  ", 1) for line in out.splitlines())}
    return "" if sums == trees.md5s else "it found other MD5s than the images have"


def in_bucket(trees: Ground, server: Server) -> str:
    """Whether the bucket holds all images and nothing else, as a client that is nobody's here lists it."""
    wanted = {f"{WHERE.key_prefix()}{path}": (trees.image_bytes, md5) for path, md5 in trees.md5s.items()}
    held = {key: (size_bytes, etag) for key, size_bytes, etag in _listed(server)}
    return _difference(held, wanted, "in the bucket")


def on_disk(trees: Ground, folder: str, below: str = "") -> str:
    """Whether the files in `folder` are all images, whole, and nothing else: `{actor}/{below}{filename}`."""
    held = {}
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            with open(full, "rb") as file:
                held[os.path.relpath(full, folder)] = hashlib.file_digest(file, "md5").hexdigest()
    return _difference(held, {_below(path, below): md5 for path, md5 in trees.md5s.items()}, "on disk")


def _below(path: str, folder: str) -> str:
    actor, _, filename = path.partition("/")
    return f"{actor}/{folder}{filename}"


def _difference(held: Mapping[str, object], wanted: Mapping[str, object], place: str) -> str:
    lacking, surplus = wanted.keys() - held.keys(), held.keys() - wanted.keys()
    other = [name for name in wanted.keys() & held.keys() if wanted[name] != held[name]]
    if not lacking and not surplus and not other:
        return ""
    example = min(lacking or surplus or other)
    return f"{place}, {len(lacking)} are lacking, {len(surplus)} are too many, {len(other)} differ: {example}"


def _listed(server: Server) -> Iterator[tuple[str, int, str]]:
    """Key, size and ETag of every object in the bucket."""
    client = Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=WHERE.bucket):
        for item in page.get("Contents", ()):
            yield item["Key"], item["Size"], item["ETag"].strip('"')
