"""What aws, rclone and s5cmd uploaded is known to equal the file it came from, each with the evidence that there is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.model import RemoteObject
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from factory import Tree, md5_of
from servers import REGION, Server, tool

ACTOR = "0000_x"
SMALL = os.urandom(300_000)
LARGE = os.urandom(20_000_000)
RCLONE = [
    tool("rclone"),
    "--config",
    os.devnull,
    "--s3-provider",
    "Other",
    "--s3-env-auth",
    "--s3-region",
    REGION,
    "--s3-no-check-bucket",
]

UPLOADS = {
    "aws": [tool("aws"), "s3", "cp", "--quiet", "{file}", "s3://{bucket}/{key}"],
    "rclone": [*RCLONE, "--s3-endpoint", "{endpoint}", "--s3-upload-cutoff", "5Mi", "copyto", "{file}", ":s3:{bucket}/{key}"],
    "rclone without metadata": [
        *RCLONE, "--s3-endpoint", "{endpoint}", "--s3-upload-cutoff", "5Mi", "--s3-disable-checksum", "copyto", "{file}", ":s3:{bucket}/{key}",
    ],
    "s5cmd": [tool("s5cmd"), "cp", "--part-size", "5", "{file}", "s3://{bucket}/{key}"],
    "s5cmd in odd parts": [tool("s5cmd"), "cp", "--part-size", "13", "{file}", "s3://{bucket}/{key}"],
}  # fmt: skip
EVIDENCE = {
    ("aws", "small"): "etag",
    ("aws", "large"): "multipart_etag",
    ("rclone", "small"): "etag",
    ("rclone", "large"): "md5",
    ("rclone without metadata", "large"): "multipart_etag",
    ("s5cmd", "small"): "etag",
    ("s5cmd", "large"): "multipart_etag",
    ("s5cmd in odd parts", "large"): "content",
}


class Bucket:
    """A tree with one actor, its bucket on a real server, and the programs that can upload to it."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        self.name = server.make_bucket(f"evidence-{os.urandom(6).hex()}")
        self.tree = Tree(folder / "project", S3Remote(REGION, endpoint_url=server.endpoint))

    def library(self) -> Library:
        return open_library(self.tree.root, remote=self.tree.remote, environ={"CALLSHEET_BUCKET": self.name})

    def upload(self, program: str, filename: str) -> None:
        values = {
            "file": str(self.tree.folder(ACTOR) / filename),
            "bucket": self.name,
            "key": f"{Layout().key_prefix(ACTOR)}{filename}",
            "endpoint": self.server.endpoint,
        }
        env = {
            **self.server.env,
            "S3_ENDPOINT_URL": self.server.endpoint,
            "HOME": str(self.tree.root),
            "PATH": os.environ["PATH"],
        }
        subprocess.run([part.format(**values) for part in UPLOADS[program]], env=env, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bucket(ministack_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    made = Bucket(tmp_path_factory.mktemp("evidence"), ministack_server)
    for program, size in EVIDENCE:
        filename = f"{program} {size}.png"
        made.tree.image(ACTOR, filename, SMALL if size == "small" else LARGE)
        made.upload(program, filename)
    return made


def test_what_others_uploaded_is_recognised_with_its_evidence(bucket: Bucket) -> None:
    assert bucket.library().sync().problems == ()
    rows = bucket.tree.read_manifest("0000")["training_data"]
    assert {row["filename"]: (row["status"], row["evidence"]) for row in rows} == {
        f"{program} {size}.png": ("synced", evidence) for (program, size), evidence in EVIDENCE.items()
    }


def test_an_object_is_looked_at_closely_once(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.library().sync()
    before = bucket.tree.manifests()
    for method in ("head", "read"):
        monkeypatch.setattr(S3Remote, method, None)
    assert bucket.library().sync().problems == ()
    assert bucket.tree.manifests() == before


@pytest.fixture
def opaque(tree: Tree) -> RemoteObject:
    """An object whose ETag looks like an MD5 and is none, as with KMS encryption, and that has no metadata."""
    assert isinstance(tree.remote, MemoryRemote)
    tree.image(ACTOR, "a.png", SMALL)
    location = tree.where.location(ACTOR, "a.png")
    tree.remote.store(location, SMALL, etag=md5_of(b"not the content"), etag_is_md5=False)
    return tree.remote.head(location)


@pytest.mark.usefixtures("opaque")
def test_an_opaque_object_is_read_once_for_each_version(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.library().sync()
    row = tree.read_manifest("0000")["training_data"][0]
    assert (row["status"], row["evidence"], row["s3"]["md5"]) == ("synced", "content", md5_of(SMALL))
    before = tree.manifests()
    monkeypatch.setattr(MemoryRemote, "read", None)
    tree.library().sync()
    assert tree.manifests() == before


@pytest.mark.usefixtures("opaque")
def test_without_download_an_opaque_object_is_not_vouched_for(tree: Tree) -> None:
    tree.library().sync(download=False)
    row = tree.read_manifest("0000")["training_data"][0]
    assert (row["status"], row["evidence"], row["checked_at"], row["synced_md5"]) == ("synced", "recorded", None, None)
    tree.library().sync()
    assert tree.read_manifest("0000")["training_data"][0]["evidence"] == "content"


@pytest.mark.usefixtures("opaque")
def test_an_opaque_object_with_other_content_is_out_of_sync(tree: Tree) -> None:
    tree.image(ACTOR, "a.png", SMALL[::-1])
    tree.library().sync()
    row = tree.read_manifest("0000")["training_data"][0]
    assert (row["status"], row["evidence"]) == ("out_of_sync", "content")
