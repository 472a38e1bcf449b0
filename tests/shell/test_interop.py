"""rclone, aws and s5cmd find no difference after our push and pull, and what they uploaded is moved, proven and mended like our own."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path

import pytest

from callsheet import layout
from callsheet.action import Op, Outcome
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.model import Location
from callsheet.remote.contract import Reading
from callsheet.remote.s3 import S3Remote
from callsheet.result import Transfer
from callsheet.settings import open_library
from factory import SETTLED_S, Tree, md5_of
from servers import REGION, Server, tool
from stage import picture

MIB = 1 << 20
ACTORS = ("0000_european_16_male", "0001_ä ß 画像")
NAMES = ("plain.png", "with space & + %41 ~'(1).png", "Ünïcödé 画像.jpg", "UPPER.PNG", "a=b;c,d@e!.webp", "-dash.png")
LARGE = os.urandom(14 * MIB + 17)
RCLONE = (
    tool("rclone"), "--config", os.devnull, "--s3-provider", "Other", "--s3-env-auth", "--s3-region", REGION, "--s3-no-check-bucket",
)  # fmt: skip


class Bucket:
    """A tree, its bucket on a real server, and other programs on both."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.server = server
        self.name = server.make_bucket(f"interop-{os.urandom(6).hex()}")
        self.remote = S3Remote(REGION, endpoint_url=server.endpoint)
        self.tree = Tree(folder / "project", self.remote, Layout(bucket=self.name))

    def library(self) -> Library:
        return open_library(self.tree.root, remote=self.remote, environ={"CALLSHEET_BUCKET": self.name})

    def run(self, verb: str, *actors: str, prefer: str = "") -> Transfer:
        library = self.library()
        return library.apply(library.plan(verb, actors, prefer=prefer))

    def program(self, *command: str) -> subprocess.CompletedProcess[str]:
        kept = {
            "HOME": str(self.tree.root),
            "PATH": os.environ["PATH"],
            "S3_ENDPOINT_URL": self.server.endpoint,
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(command, env={**self.server.env, **kept}, capture_output=True, text=True, check=True)

    @property
    def actors_dir(self) -> Path:
        return self.tree.root / self.tree.where.actors_dir

    def url(self, actor: str = "") -> str:
        return f"s3://{self.name}/{self.tree.where.key_prefix(actor)}"

    def differences(self, actor: str, *, aws: str = "") -> dict[str, str]:
        """What each program would still do to one actor's folder; `aws`, which is slow, only in the direction `up` or `down`."""
        folder, there = f"{self.tree.folder(actor)}/", self.url(actor)
        remote = f":s3:{self.name}/{self.tree.where.key_prefix(actor).rstrip('/')}"
        rclone = (
            *RCLONE,
            "--s3-endpoint",
            self.server.endpoint,
            "check",
            "--checksum",
            folder,
            remote,
            "--combined",
            "-",
        )
        s5cmd = (tool("s5cmd"), "--dry-run", "sync", "--size-only", "--delete")
        sync = (tool("aws"), "s3", "sync", "--dryrun", "--size-only", "--delete")
        checked = self.program(*rclone).stdout.splitlines()
        assert len(checked) == len(list(self.tree.folder(actor).iterdir())), "it looked at every image"
        told = {
            "rclone": "\n".join(line for line in checked if not line.startswith("= ")),
            "s5cmd up": self.program(*s5cmd, folder, there).stdout,
            "s5cmd down": self.program(*s5cmd, f"{there}*", folder).stdout,
            "aws up": self.program(*sync, folder, there).stdout if aws == "up" else "",
            "aws down": self.program(*sync, there, folder).stdout if aws == "down" else "",
        }
        return {program: text for program, text in told.items() if text}


@pytest.fixture
def bucket(ministack_server: Server, tmp_path: Path) -> Bucket:
    return Bucket(tmp_path, ministack_server)


def failed(result: Transfer) -> list[Outcome]:
    return [outcome for outcome in result.outcomes if outcome.problem is not None]


def filled(bucket: Bucket) -> dict[str, bytes]:
    for seed, actor in enumerate(ACTORS):
        for number, name in enumerate(NAMES):
            bucket.tree.image(actor, name, picture(seed * 10 + number))
    bucket.tree.image(ACTORS[1], "large.png", LARGE)
    bucket.tree.folder(ACTORS[1]).joinpath("empty.png").touch()
    return images(bucket)


def images(bucket: Bucket) -> dict[str, bytes]:
    found = sorted(bucket.actors_dir.glob("*/training_data/*"))
    return {str(path.relative_to(bucket.actors_dir)): path.read_bytes() for path in found}


def test_other_programs_find_no_difference_after_a_push_nor_after_a_pull(bucket: Bucket) -> None:
    whole = filled(bucket)
    pushed = bucket.run("push")
    assert (failed(pushed), pushed.report.problems) == ([], ())
    for actor, aws in zip(ACTORS, ("", "up"), strict=True):
        assert bucket.differences(actor, aws=aws) == {}
    for path in bucket.actors_dir.glob("*/training_data/*"):
        path.unlink()
    assert bucket.run("pull").report.problems == ()
    assert images(bucket) == whole
    for actor, aws in zip(ACTORS, ("", "down"), strict=True):
        assert bucket.differences(actor, aws=aws) == {}
        for listed in bucket.remote.list(bucket.name, bucket.tree.where.key_prefix(actor)):
            path = bucket.tree.folder(actor) / listed.location.key.rpartition("/")[2]
            assert path.stat().st_mtime == listed.last_modified.timestamp()


def test_an_empty_tree_is_filled_from_s3_alone(bucket: Bucket, tmp_path: Path) -> None:
    whole = filled(bucket)
    bucket.run("push")
    bare = Tree(tmp_path / "bare")
    library = open_library(bare.root, remote=bucket.remote, environ={"CALLSHEET_BUCKET": bucket.name})
    assert library.apply(library.plan("pull")).report.problems == ()
    folder = bare.root / bare.where.actors_dir
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/training_data/*")} == whole


def test_what_other_programs_changed_is_seen_and_they_see_what_was_mended(bucket: Bucket, tmp_path: Path) -> None:
    filled(bucket)
    actor = ACTORS[0]
    bucket.run("push")
    theirs, mine = picture(90), picture(91)
    (tmp_path / "new.png").write_bytes(theirs)
    bucket.program(tool("aws"), "s3", "cp", "--quiet", str(tmp_path / "new.png"), f"{bucket.url(actor)}plain.png")
    bucket.tree.image(actor, "UPPER.PNG", mine, mtime_s=SETTLED_S + 60)
    repaired = bucket.run("repair")
    assert {(outcome.action.op, outcome.action.filename) for outcome in repaired.done} == {
        (Op.DOWNLOAD, "plain.png"),
        (Op.UPLOAD, "UPPER.PNG"),
    }
    assert (bucket.tree.folder(actor) / "plain.png").read_bytes() == theirs
    assert bucket.differences(actor) == {}


# How each program uploads a large image: in parts, with its MD5 in the metadata or without, in parts of a size that nobody would guess.
UPLOADS = {
    "aws": (tool("aws"), "s3", "cp", "--quiet", "{file}", "{url}"),
    "s5cmd": (tool("s5cmd"), "cp", "--part-size", "5", "{file}", "{url}"),
    "s5cmd-odd": (tool("s5cmd"), "cp", "--part-size", "13", "{file}", "{url}"),
    "rclone": (*RCLONE, "--s3-endpoint", "{endpoint}", "--s3-upload-cutoff", "5Mi", "copyto", "{file}", "{path}"),
    "rclone-bare": (
        *RCLONE, "--s3-endpoint", "{endpoint}", "--s3-upload-cutoff", "5Mi", "--s3-disable-checksum", "copyto", "{file}", "{path}",
    ),
}  # fmt: skip
ACTOR = ACTORS[0]


def upload(bucket: Bucket, program: str, name: str, content: bytes) -> None:
    """An image that is on both sides, there by another program."""
    values = {
        "file": str(bucket.tree.image(ACTOR, name, content)),
        "url": f"{bucket.url(ACTOR)}{name}",
        "path": f":s3:{bucket.name}/{bucket.tree.where.key_prefix(ACTOR)}{name}",
        "endpoint": bucket.server.endpoint,
    }
    bucket.program(*(part.format(**values) for part in UPLOADS[program]))


def test_what_other_programs_uploaded_is_evicted_pulled_and_removed_like_our_own(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in UPLOADS:
        upload(bucket, program, f"{program}.png", LARGE)
    upload(bucket, "aws", "small.png", picture(1))
    whole = images(bucket)
    reads: list[str] = []
    read = S3Remote.read

    def counted(self: S3Remote, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        reads.append(layout.key_filename(location))
        return read(self, location, if_match=if_match, into=into)

    assert bucket.run("push").outcomes == ()
    proposal = bucket.library().plan("evict")
    with monkeypatch.context() as patch:
        patch.setattr(S3Remote, "read", counted)
        evicted = bucket.library().apply(proposal)
    assert (len(evicted.done), evicted.report.problems, images(bucket)) == (len(whole), (), {})
    assert set(reads) == {"s5cmd-odd.png"}, "what nothing else proves is read, and nothing else is"
    pulled = bucket.run("pull")
    assert (len(pulled.done), pulled.report.problems) == (len(whole), ())
    assert images(bucket) == whole
    removed = bucket.run("rm", ACTOR)
    assert (failed(removed), images(bucket)) == ([], {})
    assert list(bucket.remote.list(bucket.name, bucket.tree.where.key_prefix(ACTOR))) == []
    library = bucket.library()
    back = library.apply(library.plan_undo())
    assert (back.report.problems, back.report.counts.synced) == ((), len(whole))
    assert images(bucket) == whole
    assert library.trash().heaps == ()
    assert bucket.differences(ACTOR) == {}


def test_an_object_that_only_says_that_it_holds_the_files_bytes_keeps_the_file(bucket: Bucket, tmp_path: Path) -> None:
    """Its metadata tells the file's MD5, so that it counts as synced; before the file goes, the object is read."""
    path = bucket.tree.image(ACTOR, "a.png", LARGE)
    other = tmp_path / "other.bin"
    other.write_bytes(LARGE[::-1])
    told = base64.b64encode(bytes.fromhex(md5_of(LARGE))).decode()
    command = (tool("aws"), "s3", "cp", "--quiet", "--metadata", f"md5chksum={told}", str(other))
    bucket.program(*command, f"{bucket.url(ACTOR)}a.png")
    evicted = bucket.run("evict")
    assert bucket.tree.statuses("0000") == {"a.png": "synced"}
    assert [outcome.problem.code for outcome in failed(evicted) if outcome.problem] == ["bad_digest"]
    assert path.read_bytes() == LARGE


def test_an_object_that_was_replaced_since_the_look_keeps_the_file(bucket: Bucket) -> None:
    for name in ("a.png", "b.png"):
        upload(bucket, "rclone", name, LARGE)
    library = bucket.library()
    proposal = library.plan("evict")
    upload(bucket, "aws", "a.png", LARGE[::-1])
    path = bucket.tree.image(ACTOR, "a.png", LARGE)
    result = library.apply(proposal)
    assert [outcome.action.filename for outcome in result.done] == ["b.png"]
    assert [outcome.problem.code for outcome in failed(result) if outcome.problem] == ["object_changed"]
    assert path.read_bytes() == LARGE


@pytest.mark.parametrize("prefer", ["local", "s3"])
def test_what_other_programs_uploaded_is_mended_and_put_back(bucket: Bucket, prefer: str) -> None:
    for program in ("rclone", "rclone-bare"):
        upload(bucket, program, f"{program}.png", LARGE)
    upload(bucket, "s5cmd", "small.png", picture(1))
    library = bucket.library()
    library.sync()
    before = images(bucket)
    for number, name in enumerate(before):
        bucket.tree.image(ACTOR, os.path.basename(name), picture(100 + number), mtime_s=SETTLED_S + 60)
    mine = images(bucket)
    repaired = bucket.run("repair", prefer=prefer)
    if prefer == "local":
        assert (failed(repaired), repaired.report.counts.synced) == ([], len(before))
        assert bucket.differences(ACTOR) == {}
    else:  # what is no image replaces none
        assert [outcome.action.filename for outcome in repaired.done] == ["small.png"]
        assert {outcome.problem.code for outcome in failed(repaired) if outcome.problem} == {"damaged"}
    assert library.apply(library.plan_undo()).report.problems == ()
    assert images(bucket) == mine
    for found in bucket.remote.list(bucket.name, bucket.tree.where.key_prefix(ACTOR)):
        content = b"".join(bucket.remote.read(found.location, if_match=found.etag).blocks)
        assert content == before[f"{ACTOR}/training_data/{layout.key_filename(found.location)}"]
