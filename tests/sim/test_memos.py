"""A look that was had before is known again, and any other is not: whatever changes on either side is worked out anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from callsheet import files, memo, reconcile
from callsheet.local import TEMPORARY
from callsheet.memo import Memos
from callsheet.model import Manifest
from callsheet.report import Drift, Report
from callsheet.settings import open_library
from factory import SETTLED_S, USER_BUCKET, Tree
from faults import without_extension

ANNA, BELA = "0000_anna", "0001_bela"
IMAGE = f"{ANNA}_1.png"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Two actors, synced: images on both sides, here only and in S3 only, and a legacy file that stays."""
    tree = Tree(tmp_path)
    for actor in (ANNA, BELA):
        tree.both(actor, f"{actor}_1.png")
        tree.image(actor, f"{actor}_2.png")
        tree.object(actor, f"{actor}_3.png")
        tree.legacy(actor, "prompt_metadata.json", {"images": {f"{actor}_1.png": {"prompt": "a portrait"}}})
    tree.library().sync()
    return tree


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actors that `reconcile` was asked about."""
    asked: list[str] = []
    plain = reconcile.reconcile

    def counted(manifest: Manifest, *rest: object) -> object:
        asked.append(manifest.names or "")
        return plain(manifest, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reconcile, "reconcile", counted)
    return asked


def test_what_was_seen_before_is_not_worked_out_again(tree: Tree, worked_out: list[str]) -> None:
    before, first = tree.manifests(), tree.library().sync()
    assert worked_out == []
    assert [(row.counts.synced, row.counts.local_only, row.counts.s3_only) for row in first.actors] == [(1, 1, 1)] * 2
    assert tree.library().sync(offline=True).counts == first.counts
    assert worked_out == []
    assert tree.manifests() == before


def test_a_status_knows_what_a_sync_came_to(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tree.library().status()
    monkeypatch.setattr(Memos, "recall", lambda *_: None)
    assert tree.library().status() == plain
    monkeypatch.undo()
    tree.image(ANNA, f"{ANNA}_9.png")
    anna, bela = tree.library().status().actors
    assert anna.drift == Drift(new=(f"{ANNA}_9.png",))
    assert bela.drift == Drift()


def _touched(tree: Tree) -> None:
    os.utime(tree.folder(ANNA) / IMAGE, (SETTLED_S + 1, SETTLED_S + 1))


def _manifest_edited(tree: Tree) -> None:
    path = tree.manifest_path("0000")
    path.write_bytes(path.read_bytes() + b"\n")


def _manifest_gone(tree: Tree) -> None:
    tree.manifest_path("0000").unlink()


def _memo_torn(tree: Tree) -> None:
    path = _memo(tree)
    path.write_bytes(path.read_bytes()[:-9])


def _memo_of_another(tree: Tree) -> None:
    path = _memo(tree)
    path.write_bytes(path.with_name("0001").read_bytes())


def _memo(tree: Tree) -> Path:
    return tree.root / tree.where.memo("0000")


CHANGES: dict[str, Callable[[Tree], object]] = {
    "a file's time": _touched,
    "a file's size": lambda tree: tree.image(ANNA, IMAGE, b"x" * 99),
    "a file more": lambda tree: tree.image(ANNA, f"{ANNA}_9.png"),
    "a file less": lambda tree: (tree.folder(ANNA) / IMAGE).unlink(),
    "a file that is no image": lambda tree: (tree.folder(ANNA) / "notes.txt").write_text("new"),
    "an object more": lambda tree: tree.object(ANNA, f"{ANNA}_9.png"),
    "an object less": lambda tree: tree.remote.delete(tree.where.location(ANNA, IMAGE)),
    "another object": lambda tree: tree.object(ANNA, IMAGE, b"other"),
    "a prompt": lambda tree: tree.legacy(ANNA, "prompt_metadata.json", {"images": {IMAGE: {"prompt": "a landscape"}}}),
    "a response": lambda tree: tree.response(ANNA, [tree.url(ANNA, IMAGE)]),
    "a mark": lambda tree: tree.library().mark(ANNA, IMAGE, good=True),
    "the manifest's bytes": _manifest_edited,
    "no manifest": _manifest_gone,
    "a torn memo": _memo_torn,
    "another's memo": _memo_of_another,
    "hashes that are not settled": lambda tree: (tree.root / tree.where.hashed_stamp("0000")).unlink(),
    "no memo": lambda tree: _memo(tree).unlink(),
}


@pytest.fixture(params=[False, True], ids=["plain", "with a link"])
def folder(request: pytest.FixtureRequest, tree: Tree) -> Path:
    """An actor's folder; of one with a link in it, not all that is there is digested."""
    folder = tree.folder(ANNA)
    if request.param:
        (folder / "notes").symlink_to(folder.parent)
        tree.library().sync()
    return folder


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_is_worked_out_and_nothing_else(
    name: str, tree: Tree, folder: Path, worked_out: list[str]
) -> None:
    needless = name == "a file that is no image" and (folder / "notes").is_symlink()
    CHANGES[name](tree)
    worked_out.clear()
    seen = tree.library().sync(accept_loss=True)
    assert set(worked_out) <= {ANNA, ""}
    assert bool(worked_out) != needless
    assert _without_memos(tree) == seen.counts


TROUBLES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "an image that leads elsewhere": ("symlink", lambda folder: (folder / "a.png").symlink_to("/etc/passwd")),
    "an image that is no file": ("not_a_file", lambda folder: os.mkfifo(folder / "a.png")),
    "an image whose name cannot be recorded": ("bad_name", lambda folder: (folder / "a\nb.png").touch()),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_that_comes_later_is_told(name: str, tree: Tree, folder: Path, worked_out: list[str]) -> None:
    code, make = TROUBLES[name]
    assert tree.library().sync().problems == ()
    assert worked_out == []
    make(folder)
    for report in (tree.library().status(), tree.library().sync(), tree.library().sync()):
        assert [problem.code for problem in report.problems] == [code]


def test_what_a_killed_run_left_is_swept_beside_a_link(tree: Tree, folder: Path) -> None:
    left = folder / f"{TEMPORARY}ab.tmp"
    left.touch()
    tree.library().sync()
    assert left.exists(), "it may be somebody's who is writing"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_STALE_S", -1.0)
        tree.library().sync()
    assert not left.exists()


@pytest.mark.parametrize("linked", [False, True])
def test_a_folder_that_cannot_be_seen_any_more_is_told(tmp_path: Path, linked: bool) -> None:
    """All that is known of the actor is in S3, so that nothing seems to be missing."""
    tree = Tree(tmp_path / "tree")
    tree.object(ANNA, IMAGE)
    folder = tree.folder(ANNA)
    if linked:
        (folder / "notes").symlink_to(folder.parent)
    tree.library().sync()
    assert tree.library().sync().problems == ()
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    for report in (tree.library().status(), tree.library().sync()):
        assert [problem.actor for problem in report.problems] == [ANNA]


def test_what_a_link_leads_to_is_looked_at_each_time(tree: Tree, worked_out: list[str]) -> None:
    """The link itself stays as it is."""
    kept, name = tree.folder(ANNA).parent / "kept.png", f"{ANNA}_8.png"
    outside = tree.root / "outside.png"
    for path in (kept, outside):
        path.write_bytes(b"as it was")
        os.utime(path, (SETTLED_S, SETTLED_S))
    (tree.folder(ANNA) / name).symlink_to(kept)
    tree.library().sync()
    worked_out.clear()
    assert tree.library().sync().problems == ()
    assert tree.library().status().actors[0].drift == Drift()
    assert worked_out == []
    os.utime(kept, (SETTLED_S + 1, SETTLED_S + 1))
    assert tree.library().status().actors[0].drift == Drift(touched=(name,))
    assert tree.library().sync().problems == ()
    assert worked_out == [ANNA]
    kept.unlink()
    kept.symlink_to(outside)
    assert [problem.code for problem in tree.library().sync().problems] == ["symlink"]


def test_a_look_is_the_same_with_the_extension_and_without(
    tree: Tree, worked_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_extension(monkeypatch)
    assert tree.library().sync().problems == ()
    assert worked_out == []


def test_a_look_that_asks_for_more_is_had(tree: Tree, worked_out: list[str]) -> None:
    tree.library().sync(verify=True)
    assert sorted(worked_out) == [ANNA, BELA]


@pytest.mark.parametrize("change", ["program", "settings"])
def test_a_memo_is_good_for_the_program_and_the_settings_that_it_was_made_with(
    change: str, tree: Tree, worked_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if change == "program":
        monkeypatch.setattr(memo, "_program", lambda: "another")
        library = tree.library()
    else:
        library = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_OTHER_BUCKETS": USER_BUCKET})
    library.sync(offline=True)
    assert sorted(worked_out) == [ANNA, BELA]


def test_what_is_not_settled_is_looked_at_until_it_is(tmp_path: Path, worked_out: list[str]) -> None:
    """A URL that was never checked, a file that may change without a trace, and whatever there is to tell."""
    tree = Tree(tmp_path)
    tree.response(ANNA, [tree.url(ANNA, f"{ANNA}_5.png")])
    tree.folder(BELA)
    tree.image(BELA, f"{BELA}_1.png").touch()
    tree.both("0002_twin", "a.png")
    tree.both("0002_twin", "A.png")
    tree.library().sync(offline=True)
    worked_out.clear()
    tree.library().sync(offline=True)
    assert sorted(worked_out) == [ANNA, BELA, "0002_twin"]


def _without_memos(tree: Tree) -> object:
    """What a sync counts that knows nothing of earlier ones."""
    for path in (tree.root / tree.where.state_dir / "memos").iterdir():
        path.unlink()
    report: Report = tree.library().sync(accept_loss=True)
    assert report.manifests_updated == 0
    return report.counts
