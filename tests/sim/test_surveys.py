"""A survey that remembers says what one that does not would say, whatever was changed in between; and reads nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet import local, survey
from callsheet.errors import TreeError, UnknownActor
from callsheet.layout import Layout, answers_to
from callsheet.model import Manifest
from callsheet.store import Store
from callsheet.survey import Survey, Surveyor

WHERE = Layout()
NAMES = ("0000_a", "0000_b", "00_a", "0001_a", "0001", "1_c", "anna", "Anna", "0002_only_s3")
STEMS = ("0000", "0001", "1", "0002", "0000_b", "anna", "_summary", "0009")
_SETTLED_S = 0.012


def paths(root: Path) -> tuple[Path, Path]:
    return root / WHERE.actors_dir, root / WHERE.manifests_dir


def surveyor(root: Path) -> Surveyor:
    return Surveyor(str(root), WHERE, Store(str(root), WHERE))


def without(path: Path) -> Path:
    """The path, with nothing there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def make_folder(root: Path, name: str, _: str) -> None:
    without(paths(root)[0] / name).mkdir()


def make_link(root: Path, name: str, _: str) -> None:
    without(paths(root)[0] / name).symlink_to(root / "elsewhere")


def make_file(root: Path, name: str, _: str) -> None:
    without(paths(root)[0] / name).touch()


def toggle_link_target(root: Path, _: str, __: str) -> None:
    """Links turn from folders to something else, and back, without a change in the actors' folder."""
    target, was_folder = root / "elsewhere", (root / "elsewhere").is_dir()
    without(target)
    if was_folder:
        target.touch()
    else:
        target.mkdir()


def remove_folder(root: Path, name: str, _: str) -> None:
    without(paths(root)[0] / name)


def rename_folder(root: Path, name: str, other: str) -> None:
    path = paths(root)[0] / name
    if path.exists() and name != other:
        path.rename(without(paths(root)[0] / other))


def write_manifest(root: Path, name: str, stem: str) -> None:
    (paths(root)[1] / f"{stem}_manifest.json").write_text(json.dumps({"character_name": name}))


def rename_in_manifest(root: Path, _: str, stem: str) -> None:
    """In place, to a name of the same length, the time kept: as an editor may."""
    path = paths(root)[1] / f"{stem}_manifest.json"
    if path.is_file():
        status, text = path.stat(), path.read_text()
        path.write_text(text.replace("_a", "_z") if "_a" in text else text.replace("_z", "_a"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def spoil_manifest(root: Path, _: str, stem: str) -> None:
    (paths(root)[1] / f"{stem}_manifest.json").write_text("{")


def remove_manifest(root: Path, _: str, stem: str) -> None:
    (paths(root)[1] / f"{stem}_manifest.json").unlink(missing_ok=True)


CHANGES: tuple[Callable[[Path, str, str], None], ...] = (
    make_folder, make_link, make_file, toggle_link_target, remove_folder, rename_folder,
    write_manifest, rename_in_manifest, spoil_manifest, remove_manifest,
)  # fmt: skip
changes = st.tuples(st.sampled_from(CHANGES), st.sampled_from(NAMES), st.sampled_from((*STEMS, *NAMES)), st.booleans())


@settings(max_examples=60)
@given(st.lists(changes, min_size=3, max_size=15))
def test_a_survey_that_remembers_says_what_a_new_one_says(
    steps: list[tuple[Callable[[Path, str, str], None], str, str, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "_RACY_NS", 8_000_000)  # of this disk's clock, that the test need not wait for seconds
        root = Path(folder)
        for path in paths(root):
            path.mkdir(parents=True)
        remembering = surveyor(root)
        for change, name, other, settled in steps:
            change(root, name, other)
            if settled:
                time.sleep(_SETTLED_S)
            assert remembering.survey() == surveyor(root).survey()
            assert remembering.survey() == surveyor(root).survey()


def test_what_has_settled_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actors, manifests = paths(tmp_path)
    for name in ("0000_a", "0000_b", "0001_a"):
        (actors / name).mkdir(parents=True)
    manifests.mkdir(parents=True)
    for stem, name in (("0000", "0000_a"), ("0001", "0001_a"), ("0002", "0002_only_s3")):
        write_manifest(tmp_path, name, stem)
    monkeypatch.setattr(survey, "_RACY_NS", 8_000_000)
    remembering = surveyor(tmp_path)
    time.sleep(_SETTLED_S)
    seen = remembering.survey()

    def unread(*_: object) -> None:
        raise AssertionError("it was read again")

    for place, name in ((local, "actor_folders"), (Store, "stems"), (Store, "load")):
        monkeypatch.setattr(place, name, unread)
    assert remembering.survey() is seen
    write_manifest(tmp_path, "0002_other", "0002")
    with pytest.raises(AssertionError, match="read again"):
        remembering.survey()


def test_a_linked_folder_costs_no_reading_until_its_link_leads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors, manifests = paths(tmp_path)
    (actors / "0000_a").mkdir(parents=True)
    manifests.mkdir(parents=True)
    toggle_link_target(tmp_path, "", "")
    make_link(tmp_path, "0001_linked", "")
    monkeypatch.setattr(survey, "_RACY_NS", 8_000_000)
    remembering = surveyor(tmp_path)
    time.sleep(_SETTLED_S)
    seen = remembering.survey()
    read: list[str] = []
    actor_folders = local.actor_folders

    def counted(path: str) -> tuple[tuple[str, ...], dict[str, bool]]:
        read.append(path)
        return actor_folders(path)

    monkeypatch.setattr(local, "actor_folders", counted)
    assert remembering.survey() is seen
    assert read == []
    toggle_link_target(tmp_path, "", "")
    assert [actor.name for actor in remembering.survey().actors] == ["0000_a"]
    assert read == [str(actors)]
    (tmp_path / "elsewhere").unlink()
    assert remembering.survey() == seen, "a link to nothing is no deleted actor"


def test_what_changed_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    """Its times may stay as they are at the next change: clocks of file systems are coarse."""
    actors, manifests = paths(tmp_path)
    actors.mkdir(parents=True)
    manifests.mkdir(parents=True)
    write_manifest(tmp_path, "0001_a", "0001")
    remembering = surveyor(tmp_path)
    remembering.survey()
    assert remembering._folders._stamp is None
    assert remembering._stems._stamp is None
    assert [one._stamp for one in remembering._manifests.values()] == [None]


def test_a_manifest_that_changes_as_soon_as_it_was_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    actors, manifests = paths(tmp_path)
    actors.mkdir(parents=True)
    manifests.mkdir(parents=True)
    write_manifest(tmp_path, "0001_a", "0001")
    remembering, load = surveyor(tmp_path), Store.load

    def changed_since(store: Store, stem: str) -> Manifest | None:
        manifest = load(store, stem)
        monkeypatch.setattr(Store, "load", load)
        write_manifest(tmp_path, "0001_b", "0001")
        return manifest

    monkeypatch.setattr(Store, "load", changed_since)
    assert [actor.name for actor in remembering.survey().actors] == ["0001_a"]
    assert [actor.name for actor in remembering.survey().actors] == ["0001_b"]


def test_an_actors_folder_that_goes_is_told_and_seen_when_it_is_back(tmp_path: Path) -> None:
    actors, _ = paths(tmp_path)
    (actors / "0000_a").mkdir(parents=True)
    remembering = surveyor(tmp_path)
    before = remembering.survey()
    away = actors.rename(tmp_path / "away")
    with pytest.raises(TreeError):
        remembering.survey()
    away.rename(actors)
    assert remembering.survey() == before


def test_many_threads_may_ask_while_the_tree_changes(tmp_path: Path) -> None:
    actors, _ = paths(tmp_path)
    actors.mkdir(parents=True)
    remembering = surveyor(tmp_path)

    def grow(number: int) -> None:
        (actors / f"{number:04}_a").mkdir()
        assert remembering.survey().named(f"{number:04}_a") is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(grow, range(100)))
    assert len(remembering.survey().actors) == 100


@given(st.sets(st.sampled_from(NAMES)), st.sampled_from((*NAMES, "0", "1", "01", "000", "2", "nobody", "")))
def test_who_answers_to_a_name_is_found_as_by_asking_each(names: set[str], wanted: str) -> None:
    actors = survey._surveyed(tuple(sorted(names)), frozenset({"0000_b"}), lambda _: (None, None))
    answering = [actor for actor in actors.actors if actor.name == wanted]
    answering = answering or [actor for actor in actors.actors if answers_to(actor, wanted)]
    try:
        found: Survey | None = actors.matching([wanted]) if wanted else None
    except UnknownActor:
        found = None
    if len(answering) == 1 and wanted:
        assert found is not None
        assert found.actors == tuple(answering)
    else:
        assert not (found and found.actors)
    chosen = actors.among([wanted, "0000_a"])
    there = {actor.name for actor in actors.actors} & {wanted, "0000_a"}
    assert {actor.name for actor in chosen.actors} >= there
