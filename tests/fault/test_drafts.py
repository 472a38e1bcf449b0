"""A new file has its name when it is whole, or never; what has that name keeps it; and one that fails does not keep others from being made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from callsheet import drafts, system
from callsheet.drafts import Draft, Fresh
from callsheet.errors import LocalError
from faults import both_ways, going


def begun(*targets: Path, within: Path) -> list[Draft]:
    found = drafts.begin([(str(target), str(within)) for target in targets], make_folders=True)
    made = [draft for draft in found if isinstance(draft, Draft)]
    assert len(made) == len(targets), found
    return made


def told(errors: list[LocalError | None]) -> list[int | None]:
    causes = [error and error.__cause__ for error in errors]
    return [cause.errno if isinstance(cause, OSError) else None for cause in causes]


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(files: list[tuple[int, str, str]]) -> list[OSError | None]:
        return [OSError(errno.EPERM, os.strerror(errno.EPERM)) for _ in files]

    monkeypatch.setattr(system, "publish", refused)


@both_ways
@pytest.mark.parametrize("links", [True, False])
def test_drafts_get_their_names_and_what_has_a_name_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, links: bool
) -> None:
    if not links:
        without_links(monkeypatch)
    with going(way):
        targets = [tmp_path / "one" / "a", tmp_path / "one" / "b", tmp_path / "two" / "c"]
        made = begun(*targets, within=tmp_path)
        targets[1].write_bytes(b"kept")
        fresh = [Fresh(draft, memoryview(draft.target.encode()), 10**9) for draft in made]
        assert drafts.write_durably(fresh) == [None, None, None]
        assert not targets[0].exists()
        assert told(drafts.publish(made)) == [None, errno.EEXIST, None]
        for draft in made:
            drafts.abandon(draft)
    assert targets[1].read_bytes() == b"kept"
    assert [path.read_text() for path in (targets[0], targets[2])] == [str(targets[0]), str(targets[2])]
    assert [path.stat().st_mtime_ns for path in (targets[0], targets[2])] == [10**9, 10**9]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "c", "one", "two"]
    assert [draft.descriptor for draft in made] == [None, None, None]


@both_ways
def test_where_a_folder_is_missing_nothing_is_made_unless_it_may_be(tmp_path: Path, way: str) -> None:
    (tmp_path / "there").mkdir()
    places = [(str(tmp_path / folder / "a"), str(tmp_path)) for folder in ("missing/deep", "there")]
    with going(way):
        missing, there = drafts.begin(places, make_folders=False)
        assert missing is None
        assert not (tmp_path / "missing").exists()
        assert isinstance(there, Draft)
        drafts.abandon(there)
        assert os.listdir(tmp_path / "there") == []
        deep, there = drafts.begin(places, make_folders=True)
    for draft, folder in ((deep, "missing/deep"), (there, "there")):
        assert isinstance(draft, Draft)
        assert os.path.dirname(draft.temporary) == str(tmp_path / folder)
        drafts.abandon(draft)


@both_ways
def test_each_that_cannot_be_begun_is_told_and_the_others_are(tmp_path: Path, way: str) -> None:
    (tmp_path / "actor").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "actor" / "leaving").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "actor" / "file").write_bytes(b"in the way")
    names = ["leaving/a", "new/a", "file/a", "file/deep/a", "new/b"]
    with going(way):
        found = drafts.begin(
            [(str(tmp_path / "actor" / name), str(tmp_path / "actor")) for name in names], make_folders=True
        )
    assert [isinstance(draft, Draft) for draft in found] == [False, True, False, False, True]
    assert "leaves" in str(found[0])
    assert all(name in str(error) for name, error in zip(names[2:4], found[2:4], strict=True))
    assert os.listdir(tmp_path / "elsewhere") == []
    for draft in found:
        if isinstance(draft, Draft):
            drafts.abandon(draft)
    assert sorted(os.listdir(tmp_path / "actor")) == ["file", "leaving", "new"]
    assert os.listdir(tmp_path / "actor" / "new") == []


def test_of_a_new_file_that_fails_nothing_stays(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with pytest.raises(LocalError, match="No space left"), drafts.new_file(str(target), within=str(tmp_path)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []
    with drafts.new_file(str(target), within=str(tmp_path)) as descriptor:
        os.write(descriptor, b"whole")
    assert target.read_bytes() == b"whole"
    with (
        pytest.raises(LocalError, match="File exists"),
        drafts.new_file(str(target), within=str(tmp_path)) as descriptor,
    ):
        os.write(descriptor, b"other")
    assert target.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a"]


def test_what_is_left_of_a_draft_by_others_is_no_error(tmp_path: Path) -> None:
    (draft,) = begun(tmp_path / "a", within=tmp_path)
    os.unlink(draft.temporary)
    assert told(drafts.publish([draft])) == [errno.ENOENT]
    drafts.abandon(draft)
    drafts.abandon(draft)
    assert os.listdir(tmp_path) == []
