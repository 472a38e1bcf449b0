"""Every kind of finding: what is wrong is planted in a sound tree, named with its repair, and mended or left, as the table of rules says."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from callsheet import files, hashing, local
from callsheet.action import Plan, Verb
from callsheet.checkup import RULES, Checkup, Code, Finding, Severity
from callsheet.errors import UsageError
from callsheet.model import Location, Problem
from callsheet.remote.memory import MemoryRemote
from callsheet.web.jobstore import Job, JobStore, Wanted
from factory import SETTLED_S, USER_BUCKET, Tree, md5_of
from kept import Witness, carried_out, picture

ANNA, BERT = "0000_anna", "0001_bert"
ELSEWHERE = Location(USER_BUCKET, f"u-1/custom_actor/{ANNA}/training_data/elsewhere.png")
REMOVED = ("gone_1.png", "gone_2.png", "far_1.png", "far_2.png")
NO_RUN = "20200101T000000.000Z-0000"


@pytest.fixture
def sound(tree: Tree) -> Tree:
    """Anna has images on each side and on both, one of them at another place in S3, told by a legacy file that was taken over. Bert has one that was
    pushed, and had two on each side that were removed."""
    for name in ("same_1.png", "same_2.png", "same_10.png"):
        tree.both(ANNA, name, picture(name))
    tree.image(ANNA, "mine.png", picture("mine"))
    tree.object(ANNA, "theirs.png", picture("theirs"))
    tree.response(ANNA, [tree.object(ANNA, "elsewhere.png", picture("elsewhere"), at=ELSEWHERE)])
    for name in ("bert.png", *REMOVED[:2]):
        tree.image(BERT, name, picture(name))
    for name in REMOVED[2:]:
        tree.object(BERT, name, picture(name))
    library = tree.library()
    library.sync()
    library.mark("0", "mine.png", good=True)
    carried_out(library, "push", BERT, only=("bert.png",))
    carried_out(library, "rm", BERT, only=REMOVED)
    assert library.fsck(read="both").findings == ()
    return tree


@dataclass(frozen=True)
class Plant:
    """How something comes to be wrong: `do` gets a sound tree, and may yield to undo it. `about` is what the finding names.

    `read` is what must be read to see it; `fixed`: whether `--fix` mends it. `also` are findings that come with it.
    """

    do: Callable[[Tree], Any]
    about: tuple[str, str]
    read: str = ""
    fixed: bool = False
    also: frozenset[Code] = frozenset()


def rows(tree: Tree, change: Callable[[dict[str, dict[str, Any]]], object], actor: str = ANNA) -> None:
    """Edit the rows of a manifest, by filename."""
    path = tree.manifest_path(actor[:4])
    document = json.loads(path.read_bytes())
    change({row["filename"]: row for row in document["training_data"]})
    path.write_bytes(json.dumps(document, indent=2).encode())


def document(tree: Tree, change: Callable[[dict[str, Any]], object], actor: str = ANNA) -> None:
    """Edit a manifest."""
    path = tree.manifest_path(actor[:4])
    loaded = json.loads(path.read_bytes())
    change(loaded)
    path.write_bytes(json.dumps(loaded, indent=2).encode())


def row(name: str, /, **values: object) -> Callable[[Tree], None]:
    return lambda tree: rows(tree, lambda found: found[name].update(values))


def state(tree: Tree, *parts: str) -> Path:
    return tree.root.joinpath(tree.where.state_dir, *parts)


def write(*parts: str, content: bytes = b"?") -> Callable[[Tree], None]:
    """A file in our own folder."""

    def do(tree: Tree) -> None:
        path = state(tree, *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return do


def journal(tree: Tree, verb: str) -> Path:
    """The journal of the one run of a verb."""
    return next(path for path in state(tree, "runs").iterdir() if f'"verb":"{verb}"' in path.read_text())


def held(path: Path) -> Iterator[None]:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def heap(tree: Tree, actor: str = BERT) -> Path:
    """The folder of the trash that `rm` has filled."""
    return next(state(tree, "trash").glob(f"*/{tree.where.training_dir(actor)}/gone_1.png")).parent


def rot(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rot_in_s3(tree: Tree) -> None:
    location = tree.where.location(ANNA, "same_1.png")
    assert isinstance(tree.remote, MemoryRemote)
    etag = tree.remote.head(location).etag
    tree.remote.store(location, picture("same_1.png")[:-1] + b"!", etag=etag, etag_is_md5=True)


def lose_name(tree: Tree) -> None:
    (tree.folder(ANNA) / "mine.png").rename(tree.folder(ANNA) / f"{files.ASIDE}0badcafe")


def link_out(tree: Tree) -> None:
    outside = tree.root / "outside.png"
    outside.write_bytes(b"x")
    (tree.folder(ANNA) / "link.png").symlink_to(outside)


def unmount(tree: Tree) -> None:
    folder = tree.root / tree.where.folder(ANNA)
    folder.rename(folder.parent.parent / "away")


def dangle(tree: Tree) -> None:
    tree.folder(ANNA).rename(tree.root / "away")
    (tree.root / tree.where.training_dir(ANNA)).symlink_to(tree.root / "nowhere")


def bad_time(tree: Tree) -> Iterator[None]:
    """The file systems of tests hold no time that a manifest could not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_YEAR_10000_NS", int((SETTLED_S + 1) * 1e9))
        tree.image(ANNA, "late.png", mtime_s=SETTLED_S + 2)
        yield


def never_still(_: Tree) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "_hash_once", lambda paths: [(hashing.CHANGED, 0, 0, "") for _ in paths])
        yield


def cut(tree: Tree) -> None:
    """The last run was killed before it told what came of its last step."""
    path = journal(tree, "rm")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def spoil(tree: Tree) -> None:
    path = journal(tree, "push")
    path.write_bytes(path.read_bytes().replace(b'"action"', b'"faction"', 1))


def tear(tree: Tree) -> None:
    path = journal(tree, "push")
    path.write_bytes(path.read_bytes() + b'{"n": 0, "outc')


def forget_elsewhere(tree: Tree) -> None:
    def forget(manifest: dict[str, Any]) -> None:
        manifest["training_data"] = [r for r in manifest["training_data"] if r["filename"] != "elsewhere.png"]

    document(tree, forget)


def late_stamp(tree: Tree) -> None:
    stamp = state(tree, "hashed", "0000")
    stamp.write_text(f"{stamp.read_text().split()[0]} {4_000_000_000 * 10**9}\n")


def lost_bucket(tree: Tree) -> None:
    tree.remote = MemoryRemote((USER_BUCKET,))
    tree.object(ANNA, "elsewhere.png", picture("elsewhere"), at=ELSEWHERE)


def elsewhere_url(tree: Tree) -> None:
    row("same_2.png", s3_url=tree.url(ANNA, "same_1.png"))(tree)


def other_url(tree: Tree) -> None:
    row("theirs.png", s3_url=tree.url(BERT, "theirs.png"))(tree)


def drop_journal(tree: Tree) -> None:
    journal(tree, "rm").unlink()


def foreign_trash(tree: Tree) -> None:
    tree.object("", "", b"another tree's", at=tree.where.s3_trash(NO_RUN, tree.where.location(ANNA, "x.png")))


OTHER = "https://example.com/a/theirs.png"
PLANTS: dict[Code, Plant] = {
    Code.MANIFEST: Plant(lambda tree: tree.write_manifest("0000", b'{"training_data": ['), (ANNA, "")),
    Code.STATUS: Plant(
        row("same_1.png", status="local_only"), (ANNA, "same_1.png"), fixed=True, also=frozenset({Code.EVIDENCE, Code.STATISTICS})
    ),
    Code.NOWHERE: Plant(row("theirs.png", s3_url=None), (ANNA, "theirs.png"), fixed=True),
    Code.EVIDENCE: Plant(row("mine.png", evidence="etag"), (ANNA, "mine.png"), fixed=True),
    Code.STATISTICS: Plant(
        lambda tree: document(tree, lambda one: one["statistics"].update(training_synced_count=99)), (ANNA, ""), fixed=True
    ),
    Code.ORDER: Plant(lambda tree: document(tree, lambda one: one["training_data"].reverse()), (ANNA, ""), fixed=True),
    Code.LOCAL_PATH: Plant(row("mine.png", local_path="elsewhere/mine.png"), (ANNA, "mine.png"), fixed=True),
    Code.FORM: Plant(row("mine.png", size_mb="1"), (ANNA, "")),
    Code.FOREIGN_URL: Plant(row("theirs.png", s3_url=OTHER), (ANNA, "theirs.png")),
    Code.OTHER_URL: Plant(other_url, (ANNA, "theirs.png")),
    Code.SHARED_OBJECT: Plant(elsewhere_url, (ANNA, "same_2.png"), also=frozenset({Code.OTHER_URL})),
    Code.NOT_AN_IMAGE: Plant(row("mine.png", filename="notes.txt"), (ANNA, "notes.txt"), also=frozenset({Code.LOCAL_PATH, Code.GONE, Code.DRIFT})),
    Code.TWIN_NAMES: Plant(
        lambda tree: (tree.image(ANNA, "MINE.png"), tree.library().sync()), (ANNA, "MINE.png"),
    ),
    Code.COLLISION: Plant(lambda tree: tree.folder("0000_other"), ("0000_other", "")),
    Code.NO_FOLDER: Plant(lambda tree: tree.write_manifest("0009", {"training_data": []}), ("0009", "")),
    Code.FOLDER_GONE: Plant(unmount, (ANNA, "")),
    Code.BAD_NAME: Plant(lambda tree: tree.image(ANNA, "two\nlines.png"), (ANNA, "two\\nlines.png")),
    Code.SYMLINK: Plant(link_out, (ANNA, "link.png")),
    Code.NOT_A_FILE: Plant(lambda tree: os.mkfifo(tree.folder(ANNA) / "pipe.png"), (ANNA, "pipe.png")),
    Code.BAD_TIME: Plant(bad_time, (ANNA, "late.png")),
    Code.UNREADABLE: Plant(dangle, (ANNA, "")),
    Code.DRIFT: Plant(lambda tree: tree.image(ANNA, "new.png"), (ANNA, "")),
    Code.GONE: Plant(lambda tree: (tree.folder(ANNA) / "mine.png").unlink(), (ANNA, "mine.png")),
    Code.CORRUPT: Plant(lambda tree: rot(tree.folder(ANNA) / "same_1.png"), (ANNA, "same_1.png"), read="local"),
    Code.CHANGING: Plant(never_still, (ANNA, "mine.png"), read="local", also=frozenset({Code.UNREADABLE})),
    Code.OBJECT_GONE: Plant(lambda tree: tree.remote.delete(tree.where.location(ANNA, "theirs.png")), (ANNA, "theirs.png"), read="s3"),
    Code.OBJECT_CHANGED: Plant(lambda tree: tree.object(ANNA, "theirs.png", b"newer"), (ANNA, "theirs.png"), read="s3"),
    Code.OBJECT_CORRUPT: Plant(rot_in_s3, (ANNA, "same_1.png"), read="s3"),
    Code.UNCHECKED: Plant(lost_bucket, ("", "s3://story-boards-assets"), read="s3"),
    Code.LEGACY: Plant(lambda tree: tree.response(ANNA, [tree.url(ANNA, "same_1.png")]), (ANNA, "response.json")),
    Code.UNPLACED_URL: Plant(lambda tree: tree.response(ANNA, [OTHER]), (ANNA, "response.json")),
    Code.LEGACY_LOST: Plant(forget_elsewhere, (ANNA, "response.json"), fixed=True, also=frozenset({Code.STATISTICS})),
    Code.TRASH_LOST: Plant(lambda tree: (heap(tree) / "gone_1.png").unlink(), (BERT, "gone_1.png")),
    Code.TRASH_CORRUPT: Plant(lambda tree: rot(heap(tree) / "gone_1.png"), ("", "gone_1.png"), read="local"),
    Code.NO_JOURNAL: Plant(drop_journal, ("", "")),
    Code.NOT_OURS: Plant(foreign_trash, ("", NO_RUN), read="s3"),
    Code.JOURNAL: Plant(spoil, ("", ".jsonl")),
    Code.TORN_JOURNAL: Plant(tear, ("", ".jsonl")),
    Code.UNFINISHED: Plant(cut, ("", "")),
    Code.UNDER_WAY: Plant(lambda tree: held(journal(tree, "push")), ("", "")),
    Code.LOCKED: Plant(lambda tree: held(state(tree, "locks", "0000.lock")), ("", "0000_manifest.json")),
    Code.TEMPORARY: Plant(
        lambda tree: tree.image(ANNA, f"{local.TEMPORARY}0badcafe.tmp"), (ANNA, "0badcafe.tmp"), fixed=True
    ),
    Code.ASIDE: Plant(lose_name, (ANNA, f"{files.ASIDE}0badcafe"), fixed=True, also=frozenset({Code.GONE})),
    Code.STAMP: Plant(late_stamp, ("", "hashed/0000"), fixed=True),
    Code.JOB: Plant(write("jobs", "j-1.json"), ("", "jobs/j-1.json")),
    Code.STRAY: Plant(write("locks", "notes.txt"), ("", "locks/notes.txt")),
}  # fmt: skip


@pytest.fixture(params=PLANTS, ids=str)
def planted(
    request: pytest.FixtureRequest, sound: Tree, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Code, Tree]]:
    """A tree with one thing wrong in it."""
    monkeypatch.setattr(files, "_STALE_S", -1.0)  # what is left behind is seen at once
    planting = PLANTS[request.param].do(sound)
    if isinstance(planting, Iterator):
        next(planting)
    yield request.param, sound
    if isinstance(planting, Iterator):
        assert next(planting, "over") == "over"


def of(checkup: Checkup, code: Code) -> list[Finding]:
    return [found for found in checkup.findings if found.code is code]


def identity(found: Finding) -> tuple[str, str, str, bool]:
    return found.code, found.actor, found.filename, found.fixable


def everything(tree: Tree) -> dict[str, tuple[bytes, int]]:
    """Bytes and mtime (ns) of every file of the tree."""
    paths = (path for path in sorted(tree.root.rglob("*")) if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_every_kind_of_finding_is_planted_here() -> None:
    assert set(PLANTS) | {Code.NOT_MENDED} == set(Code) == set(RULES)


def test_what_is_wrong_is_named_with_its_repair(planted: tuple[Code, Tree]) -> None:
    code, tree = planted
    plant = PLANTS[code]
    before = everything(tree)
    checkup = tree.library().fsck(read=plant.read)
    told = of(checkup, code)
    assert {found.code for found in checkup.findings} - plant.also == {code}, checkup.findings
    assert any(found.actor == plant.about[0] and found.filename.endswith(plant.about[1]) for found in told), told
    assert all(found.message and found.repair for found in told)
    assert bool(checkup.problems) is any(found.severity is not Severity.NOTE for found in checkup.findings)
    assert everything(tree) == before, "a check wrote something"


def test_what_only_bytes_tell_is_not_seen_without_reading(planted: tuple[Code, Tree]) -> None:
    code, tree = planted
    assert bool(of(tree.library().fsck(), code)) is (PLANTS[code].read == "")


def test_mending_mends_what_the_table_says_and_leaves_all_else(planted: tuple[Code, Tree]) -> None:
    code, tree = planted
    plant = PLANTS[code]
    before = everything(tree)
    told = tree.library().fsck(read=plant.read)
    dry = tree.library().fsck(read=plant.read, fix=True, dry_run=True)
    assert list(map(identity, dry.findings)) == list(map(identity, told.findings))
    assert dry.mended == ()
    assert everything(tree) == before, "a dry run wrote something"
    assert any(found.fixable for found in of(told, code)) is plant.fixed
    contents = {content for content, _ in before.values()}
    mended = tree.library().fsck(read=plant.read, fix=True)
    if not plant.fixed and not any(found.fixable for found in told.findings):
        assert everything(tree) == before, "what is not to be mended was touched"
        assert list(map(identity, mended.findings)) == list(map(identity, told.findings))
        return
    if plant.fixed:
        assert RULES[code].fix
        assert code in {found.code for found in mended.mended}
        assert not of(mended, code), mended.findings
        after = tree.library().fsck()
        assert not after.problems, after.problems
        images = {content for content in contents if content.startswith(b"\x89PNG")}
        assert images <= {content for content, _ in everything(tree).values()}, "an image's bytes are gone"


def test_a_named_actor_is_checked_alone(sound: Tree) -> None:
    row("mine.png", local_path="x")(sound)
    write("jobs", "j-1.json")(sound)
    assert sound.library().fsck([BERT]).findings == ()
    assert [found.code for found in sound.library().fsck(["0"]).findings] == [Code.LOCAL_PATH]


def test_nothing_is_mended_of_an_actor_that_a_run_is_about(sound: Tree) -> None:
    rows(sound, lambda found: found["bert.png"].update(local_path="x"), BERT)
    row("mine.png", local_path="x")(sound)
    for _ in held(journal(sound, "push")):
        checkup = sound.library().fsck(fix=True)
        assert [(found.code, found.actor) for found in checkup.mended] == [(Code.LOCAL_PATH, ANNA)]
        assert [found.actor for found in of(checkup, Code.NOT_MENDED)] == [BERT]
        assert [found.actor for found in of(checkup, Code.LOCAL_PATH)] == [BERT]
    assert [found.actor for found in sound.library().fsck(fix=True).mended] == [BERT]


def test_mending_a_manifest_records_no_mass_loss(sound: Tree) -> None:
    for number in range(30):
        sound.image(ANNA, f"many_{number}.png")
    sound.library().sync()
    document(sound, lambda one: one["training_data"].reverse())
    for path in sound.folder(ANNA).glob("*.png"):
        path.unlink()
    before = sound.read_manifest("0000")
    checkup = sound.library().fsck(fix=True)
    assert of(checkup, Code.NOT_MENDED)
    assert of(checkup, Code.ORDER)
    assert sound.read_manifest("0000") == before


def test_a_record_that_contradicts_itself_is_settled_by_the_bytes(sound: Tree) -> None:
    """The MD5 of the record was wrong, not its status: to work out the status from it would be to believe it."""
    row("same_1.png", md5_hash="0" * 32)(sound)
    checkup = sound.library().fsck(fix=True)
    assert {found.code for found in checkup.mended} >= {Code.STATUS}
    mended = {one["filename"]: one for one in sound.read_manifest("0000")["training_data"]}["same_1.png"]
    assert (mended["md5_hash"], mended["status"]) == (md5_of(picture("same_1.png")), "synced")
    assert "expected_md5" not in mended


def test_an_actor_whose_name_is_shown_otherwise_is_mended_too(sound: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    odd = "0003_no\u00a0break"
    sound.image(odd, "a.png")
    sound.library().sync(offline=True)
    sound.image(odd, f"{local.TEMPORARY}0badcafe.tmp")
    rows(sound, lambda found: found["a.png"].update(local_path="x"), odd)
    checkup = sound.library().fsck(fix=True)
    assert {found.code for found in checkup.mended} == {Code.LOCAL_PATH, Code.TEMPORARY}
    assert checkup.findings == ()


def test_a_temporary_file_that_may_be_being_written_is_neither_named_nor_touched(sound: Tree) -> None:
    writing = sound.image(ANNA, f"{local.TEMPORARY}0badcafe.tmp")
    for fix in (False, True):
        assert sound.library().fsck(fix=fix).findings == ()
    assert writing.exists()


@pytest.mark.parametrize("place", ["manifests", "trash", "jobs"])
def test_temporary_files_are_found_in_every_folder_of_ours(
    sound: Tree, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    folder = {"manifests": sound.root / sound.where.manifests_dir, "trash": heap(sound), "jobs": state(sound, "jobs")}
    folder[place].mkdir(exist_ok=True)
    left = folder[place] / f"{local.TEMPORARY}0badcafe.tmp"
    left.write_bytes(b"half of it")
    checkup = sound.library().fsck(fix=True)
    assert [found.code for found in checkup.mended] == [Code.TEMPORARY]
    assert checkup.findings == ()
    assert not left.exists()


def test_a_file_without_its_name_goes_if_its_bytes_are_elsewhere_and_stays_if_not(
    sound: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    folder = sound.folder(ANNA)
    linked, copied, other, restored = (folder / f"{files.ASIDE}{number}" for number in range(4))
    os.link(folder / "same_1.png", linked)
    copied.write_bytes((folder / "same_2.png").read_bytes())
    other.write_bytes(b"saved by somebody a moment ago")
    half_way = heap(sound) / f"{files.ASIDE}9"
    os.link(heap(sound) / "gone_1.png", half_way)
    checkup = sound.library().fsck(fix=True)
    assert len([found for found in checkup.mended if found.code is Code.ASIDE]) == 3
    assert [found.filename for found in of(checkup, Code.ASIDE)] == [f"{sound.where.training_dir(ANNA)}/{other.name}"]
    assert not restored.exists()
    assert [path.exists() for path in (linked, copied, other, half_way)] == [False, False, True, False]


def test_a_restored_name_is_never_taken_from_a_file_that_has_it(sound: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_STALE_S", -1.0)
    lose_name(sound)
    sound.image(ANNA, "mine.png", b"newer")
    witness = Witness(sound)
    checkup = sound.library().fsck(fix=True)
    assert of(checkup, Code.ASIDE)
    assert (sound.folder(ANNA) / "mine.png").read_bytes() == b"newer"
    assert witness.everything() == Witness(sound).everything()


def test_what_was_restored_or_emptied_is_not_missing_from_the_trash(sound: Tree) -> None:
    library = sound.library()
    run = next(run for run in library.runs() if library.past(run).verb == "rm")
    library.apply(library.plan_restore(run, only=("gone_1.png",)))
    assert library.fsck(read="both").findings == ()
    (heap_left,) = [one for one in library.trash().heaps if one.run_id == run]
    assert heap_left.here
    library.empty_trash()
    assert library.fsck(read="both").findings == ()


def test_an_undo_leaves_a_sound_tree(sound: Tree) -> None:
    library = sound.library()
    for _ in range(3):
        result = library.apply(library.plan_undo())
        assert result.report.problems == ()
        assert library.fsck(read="both").findings == ()


def test_a_killed_run_is_named_until_it_is_taken_back(sound: Tree) -> None:
    cut(sound)
    library = sound.library()
    (told,) = library.fsck().findings
    assert f"callsheet undo {told.filename}" in told.repair
    library.apply(library.plan_undo(told.filename))
    assert library.fsck(read="both").findings == ()


def test_a_legacy_file_of_an_actor_that_was_renamed_is_held_to_its_manifest(sound: Tree) -> None:
    (sound.root / sound.where.folder(ANNA)).rename(sound.root / sound.where.folder("0000_ann"))
    library = sound.library()
    library.adopt("0000_ann")
    library.sync(offline=True)
    assert Code.LEGACY_LOST not in {found.code for found in library.fsck().findings}
    forget_elsewhere(sound)
    (told,) = of(sound.library().fsck(), Code.LEGACY_LOST)
    assert not told.fixable


def test_objects_in_the_trash_of_s3_are_read(sound: Tree) -> None:
    assert isinstance(sound.remote, MemoryRemote)
    trashed = next(iter(sound.remote.list(sound.where.bucket, sound.where.s3_trash_prefix)))
    body = b"".join(sound.remote.read(trashed.location, if_match=trashed.etag).blocks)
    sound.remote.store(trashed.location, body[:-1] + b"!", etag=trashed.etag, etag_is_md5=True)
    (told,) = sound.library().fsck(read="s3").findings
    assert (told.code, told.filename) == (Code.TRASH_CORRUPT, str(trashed.location))
    sound.remote.delete(trashed.location)
    assert [found.code for found in sound.library().fsck(read="s3").findings] == [Code.TRASH_LOST]


def test_the_jobs_of_a_server_are_as_they_must_be_and_what_is_left_of_others_is_not(sound: Tree) -> None:
    store = JobStore(str(sound.root), sound.where)
    job = Job("20260102T000000.000Z-0000", Wanted("push"), datetime(2026, 1, 2, tzinfo=UTC))
    store.save(job)
    store.save_plan(job.id, Plan(Verb.PUSH, ()))
    store.save_problems(job.id, (Problem("", "", "local", "?"),))
    (state(sound, "jobs") / "server.lock").touch()
    assert sound.library().fsck().findings == ()
    write("jobs", "plans", f"{job.id}.json")(sound)
    write("jobs", "problems", "20260101T000000.000Z-0000.json", content=b"[]")(sound)
    write("jobs", f"{job.id[:-1]}1.json", content=b'{"id": "another"}')(sound)
    found = {(one.code, one.filename.partition("jobs/")[2]) for one in sound.library().fsck().findings}
    assert found == {
        (Code.JOB, f"plans/{job.id}.json"),
        (Code.STRAY, "problems/20260101T000000.000Z-0000.json"),
        (Code.JOB, f"{job.id[:-1]}1.json"),
    }


def test_what_cannot_be_read_is_named_and_nothing_follows_from_it(sound: Tree) -> None:
    sound.folder("0007_a")
    sound.folder("0007_b")
    sound.manifest_path("0007").mkdir()
    for name in ("hashed", "runs"):
        state(sound, name).rename(state(sound, f"old-{name}"))
        state(sound, name).write_bytes(b"no folder")
    found = {(one.code, one.actor) for one in sound.library().fsck().findings if one.code is Code.UNREADABLE}
    assert found == {(Code.UNREADABLE, "0007_a"), (Code.UNREADABLE, "0007_b"), (Code.UNREADABLE, "")}


def test_what_a_run_puts_away_while_the_tree_is_checked_is_not_missing(
    sound: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trash is listed first: what came to it since is looked for once more before it is missed."""
    listed = local.files_below
    monkeypatch.setattr(local, "files_below", lambda folder: (one for one in listed(folder) if "gone_1" not in one[0]))
    assert sound.library().fsck().findings == ()
    (heap(sound) / "gone_1.png").unlink()
    assert [one.code for one in sound.library().fsck().findings] == [Code.TRASH_LOST]


def test_no_network_is_touched_unless_s3_is_read(sound: Tree) -> None:
    class Untouchable(MemoryRemote):
        def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Any:
            raise AssertionError(f"{bucket}/{prefix} was listed")

        def head(self, location: Location) -> Any:
            raise AssertionError(f"{location} was looked at")

    sound.remote = Untouchable(())
    rows(sound, lambda found: found["mine.png"].update(local_path="x"))
    assert sound.library().fsck(read="local", fix=True).mended
    with pytest.raises(UsageError):
        sound.library().fsck(read="everything")


def test_images_in_s3_that_nobody_recorded_are_for_a_sync(sound: Tree) -> None:
    sound.object(ANNA, "new.png")
    (told,) = sound.library().fsck(read="s3").findings
    assert (told.code, told.repair) == (Code.DRIFT, f"callsheet sync {ANNA}")


def test_synced_by_record_alone_is_held_to_the_bytes_once_they_are_read(tree: Tree) -> None:
    tree.image(ANNA, "a.png", picture("here"))
    assert isinstance(tree.remote, MemoryRemote)
    tree.remote.store(tree.where.location(ANNA, "a.png"), picture("away"), etag="x-1", etag_is_md5=False)
    tree.library().sync(download=False)
    assert tree.library().fsck().findings == ()
    (told,) = tree.library().fsck(read="s3").findings
    assert (told.code, told.actor, told.filename) == (Code.STATUS, ANNA, "a.png")
    tree.library().sync()
    assert tree.library().fsck(read="both").findings == ()
