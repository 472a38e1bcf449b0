"""A prefix that is listed in several ranges at once is seen as in one; and where a range breaks off, just that is unknown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callsheet import layout, listing
from callsheet.errors import BrokenListing
from callsheet.layout import Layout
from callsheet.listing import Part, listing_order, parts, together
from callsheet.model import Actor, RemoteObject
from callsheet.remote.memory import MemoryRemote
from factory import USER_BUCKET, Tree

WHERE = Layout()
NAMES = st.from_regex(r"[0-3]{1,2}[_.-]?[ab0]{0,2}", fullmatch=True)
ACTORS = [f"{number:04}_x" for number in range(12)]


@pytest.fixture(autouse=True)
def _in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_ACTORS", 2)


def _ordered(names: set[str]) -> list[Actor]:
    return [layout.shared_actor(name) for name in sorted(names, key=listing_order)]


@given(st.sets(NAMES, min_size=1, max_size=40), st.sets(NAMES, max_size=20))
def test_every_key_and_every_actor_is_in_one_part_and_folders_of_one_number_are_together(
    known: set[str], strangers: set[str]
) -> None:
    found = parts(WHERE, _ordered(known))
    assert [actor for part in found for actor in part.actors] == _ordered(known)
    assert len(found) <= 8
    homes = {name: _homes(found, f"{WHERE.key_prefix()}{name}/1.png") for name in known | strangers}
    assert all(len(home) == 1 for home in homes.values())
    for number, part in enumerate(found):
        assert all(homes[actor.name] == [number] for actor in part.actors)
    for name in filter(layout.has_actor_form, homes):
        alike = [n for n in homes if layout.has_actor_form(n) and layout.actor_id(n) == layout.actor_id(name)]
        assert all(homes[other] == homes[name] for other in alike)


@given(st.sets(NAMES, min_size=1, max_size=40), st.sets(NAMES, max_size=20))
def test_parts_of_some_actors_hold_all_of_theirs_and_nothing_before_or_after(
    known: set[str], strangers: set[str]
) -> None:
    actors = _ordered(known)
    found = parts(WHERE, actors, only=True)
    assert [actor for part in found for actor in part.actors] == actors
    first, last = listing_order(actors[0].name), listing_order(actors[-1].name)
    for name in known | strangers:
        homes = _homes(found, f"{WHERE.key_prefix()}{name}/1.png")
        assert len(homes) == (first <= listing_order(name) <= last), name


def _homes(found: list[Part], key: str) -> list[int]:
    return [number for number, part in enumerate(found) if key > part.after and (not part.before or key < part.before)]


def test_streams_come_together_whole_and_side_by_side() -> None:
    meeting = threading.Barrier(3, timeout=10)

    def stream(start: int) -> Iterator[int]:
        meeting.wait()  # passed only if all three are under way
        yield from range(start, start + 50)

    assert sorted(together([stream(0), stream(100), stream(200)])) == [*range(50), *range(100, 150), *range(200, 250)]


def test_what_a_stream_raises_is_raised() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(together([iter([1, 2]), broken()]))


class Breaking(MemoryRemote):
    """A store whose listings break off at a key, while it goes on answering."""

    at = "~"

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        for item in super().list(bucket, prefix, after=after, before=before):
            if item.location.key >= self.at > after:
                raise BrokenListing("The listing makes no sense")
            yield item


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Images on both sides and on each one, and folders that are in S3 only, two of them with one number."""
    tree = Tree(tmp_path, Breaking((WHERE.bucket, USER_BUCKET)))
    for actor in ACTORS:
        tree.both(actor, "1.png")
        tree.image(actor, "2.png")
        tree.object(actor, "3.png")
    for stranger in ("0003_z", "0020_alone", "0021_a", "0021_b"):
        tree.object(stranger, "1.png")
    return tree


def test_a_listing_in_parts_tells_what_one_listing_tells(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts, manifests = tree.library().sync(), tree.manifests()
    assert len(parts(WHERE, _ordered(set(ACTORS)))) == 6
    assert {problem.actor for problem in in_parts.problems} == {"0003_z", "0021_a", "0021_b"}
    assert "0020_manifest.json" in {Path(name).name for name in manifests}
    monkeypatch.setattr(listing, "_ACTORS", 1000)
    at_once = tree.library().sync(verify=True)
    assert (at_once.counts, at_once.problems) == (in_parts.counts, in_parts.problems)
    assert tree.manifests() == manifests


@pytest.mark.parametrize("number", range(12))
def test_where_a_range_breaks_off_just_its_rest_is_unknown(number: int, tree: Tree) -> None:
    assert isinstance(tree.remote, Breaking)
    tree.library().sync()
    before = tree.manifests()
    for actor in ACTORS:  # unseen, nothing of it is known; seen, it is gone
        tree.remote.delete(WHERE.location(actor, "3.png"))
    tree.remote.at = f"{WHERE.key_prefix()}{ACTORS[number]}/"
    report = tree.library().sync(accept_loss=True)
    part = next(part for part in parts(WHERE, _ordered(set(ACTORS))) if ACTORS[number] in {a.name for a in part.actors})
    names = [actor.name for actor in part.actors]
    last_seen = max(0, names.index(ACTORS[number]) - 1)  # whose folder may go on: nothing came after it
    unknown = set(names[last_seen:])
    assert [problem.code for problem in report.problems if not problem.actor] == [BrokenListing.code]
    changed = {name for name, raw in tree.manifests().items() if before[name] != raw}
    stems = {name: next(path for path in before if name[:4] in Path(path).name) for name in ACTORS}
    assert {name for name in ACTORS if stems[name] not in changed} == unknown
