"""What other programs upload is described truthfully: its size, its ETag, and whether that is an MD5."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from callsheet.model import Evidence, Location, RemoteObject
from callsheet.remote.s3 import S3Remote
from servers import REGION, Server, tool

MIB = 1 << 20
LARGE, SMALL = os.urandom(20_000_000), os.urandom(300_000)


RCLONE = (
    tool("rclone"), "--config", os.devnull, "--s3-provider", "Other", "--s3-env-auth", "--s3-region", REGION, "--s3-no-check-bucket",
)  # fmt: skip


@dataclass(frozen=True)
class Uploader:
    """A program, the part size of its multipart uploads, and whether it keeps a large file's MD5 in the metadata."""

    name: str
    command: Sequence[str]
    part_bytes: int
    keeps_md5: bool = False


UPLOADERS = (
    Uploader("aws, 8 MiB", (tool("aws"), "s3", "cp", "--quiet", "{file}", "s3://{bucket}/{key}"), 8 * MIB),
    Uploader("s5cmd, 5 MiB", (tool("s5cmd"), "cp", "--part-size", "5", "{file}", "s3://{bucket}/{key}"), 5 * MIB),
    Uploader(
        "rclone, 5 MiB",
        (
            *RCLONE, "--s3-endpoint", "{endpoint}", "--s3-upload-cutoff", "5Mi", "--s3-chunk-size", "5Mi",
            "copyto", "{file}", ":s3:{bucket}/{key}",
        ),
        5 * MIB,
        keeps_md5=True,
    ),
)  # fmt: skip


def multipart_etag(body: bytes, part_bytes: int) -> str:
    digests = [hashlib.md5(body[start : start + part_bytes]).digest() for start in range(0, len(body), part_bytes)]
    return f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"


@pytest.fixture
def bucket(ministack_server: Server) -> str:
    return ministack_server.make_bucket(f"uploads-{os.urandom(6).hex()}")


def uploaded(uploader: Uploader, server: Server, bucket: str, body: bytes, folder: Path) -> RemoteObject:
    """What HEAD says of `body` once the program has uploaded it; a listing must say the same."""
    file, key = folder / "image.png", "some folder/image.png"
    file.write_bytes(body)
    values = {"file": str(file), "bucket": bucket, "key": key, "endpoint": server.endpoint}
    env = server.env | {"S3_ENDPOINT_URL": server.endpoint, "HOME": str(folder), "PATH": os.environ["PATH"]}
    subprocess.run([part.format(**values) for part in uploader.command], env=env, check=True, capture_output=True)
    remote = S3Remote(REGION, endpoint_url=server.endpoint)
    seen = remote.head(Location(bucket, key))
    [listed] = remote.list(bucket, "")
    assert (listed.location, listed.size_bytes, listed.etag) == (seen.location, len(body), seen.etag)
    assert listed.last_modified == seen.last_modified
    assert listed.etag_is_md5 is None
    assert b"".join(remote.read(seen.location, if_match=seen.etag).blocks) == body
    return seen


@pytest.mark.parametrize("uploader", UPLOADERS, ids=lambda uploader: uploader.name)
def test_the_etag_of_a_single_upload_is_its_md5(
    uploader: Uploader, ministack_server: Server, bucket: str, tmp_path: Path
) -> None:
    seen = uploaded(uploader, ministack_server, bucket, SMALL, tmp_path)
    assert seen.etag == hashlib.md5(SMALL).hexdigest()
    assert seen.etag_is_md5 is True


@pytest.mark.parametrize("uploader", UPLOADERS, ids=lambda uploader: uploader.name)
def test_the_etag_of_a_multipart_upload_is_none(
    uploader: Uploader, ministack_server: Server, bucket: str, tmp_path: Path
) -> None:
    seen = uploaded(uploader, ministack_server, bucket, LARGE, tmp_path)
    assert seen.etag == multipart_etag(LARGE, uploader.part_bytes)
    assert seen.etag_is_md5 is False
    kept = (hashlib.md5(LARGE).hexdigest(), Evidence.MD5) if uploader.keeps_md5 else (None, None)
    assert (seen.md5, seen.md5_evidence) == kept


def test_others_can_verify_what_we_upload(ministack_server: Server, bucket: str, tmp_path: Path) -> None:
    """rclone finds the MD5 that we keep, under the name that it knows."""
    remote = S3Remote(REGION, endpoint_url=ministack_server.endpoint)
    remote.put(Location(bucket, "a.png"), SMALL, md5=hashlib.md5(SMALL).hexdigest())
    command = [*RCLONE, "--s3-endpoint", ministack_server.endpoint, "md5sum", f":s3:{bucket}/a.png"]
    env = ministack_server.env | {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    assert out.split() == [hashlib.md5(SMALL).hexdigest(), "a.png"]
