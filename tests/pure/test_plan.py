"""What a verb does to an image is what the tables say: over every record that there can be, by an oracle that shares no code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product

import pytest

from callsheet import layout, plan
from callsheet.action import Action, Op, Verb, Version
from callsheet.layout import Layout
from callsheet.model import Entry, Evidence, Location, Manifest, Problem, S3Record, Status
from callsheet.plan import Choice, Subject, local_may_win, planned

WHERE = Layout()
ACTOR = "0000_x"
NAME = "0000_x_1.png"
DEFAULT = WHERE.location(ACTOR, NAME)
ELSEWHERE = Location("storyboard-user-files", f"9f0c/custom_actor/{NAME}")
URL = layout.s3_url(ELSEWHERE, WHERE.region)
BASE, MINE, THEIRS = "a" * 32, "b" * 32, "c" * 32
THEN = datetime(2025, 10, 17, 16, 30, tzinfo=UTC)
LOCAL_BYTES, S3_BYTES = 10, 11


@dataclass(frozen=True)
class Case:
    """One record of an image, one choice, and what is wrong with the local file, each as one word."""

    verb: str
    status: str
    evidence: str
    seen: str
    """In S3: `unseen` in this run, `seen`, or `md5`: seen, and its MD5 is known."""
    file: str
    changed: str
    prefer: str
    good: bool | None = None
    only: str = ""

    def entry(self) -> Entry:
        base = {"here": THEIRS, "in S3": MINE, "both": BASE, "not known": None}[self.changed]
        told = THEIRS if self.seen == "md5" or self.changed == "here" else None
        return Entry(
            NAME,
            WHERE.image(ACTOR, NAME),
            size_bytes=LOCAL_BYTES,
            md5_hash=MINE if self.status != "s3_only" else None,
            s3_url=None if self.status == "local_only" else URL,
            status=Status(self.status) if self.status != "none" else None,
            good=self.good,
            evidence=Evidence(self.evidence),
            s3=None if self.seen == "unseen" else S3Record("etag-1", S3_BYTES, THEN, told),
            synced_md5=base,
            expected_md5=BASE if self.file == "corrupt" else None,
        )

    @property
    def choice(self) -> Choice:
        return Choice(frozenset([self.only] if self.only else []), self.good is not None, self.prefer)

    def planned(self, flaw: str | None = None) -> list[Action | Problem]:
        damaged = {NAME: "it is truncated"} if self.file == "damaged" and flaw is None else {}
        damaged |= {NAME: flaw} if flaw else {}
        return list(
            planned(Verb(self.verb), Subject(ACTOR, Manifest(ACTOR, (self.entry(),)), WHERE, damaged), self.choice)
        )


# verb, status, in S3, evidence, local file -> what is done, or `!` and the code of a refusal. The first row that fits counts.
TABLE = """
push    local_only   *       *         corrupt  !corrupt
push    local_only   *       *         *        upload
pull    s3_only      unseen  *         *        !not_seen
pull    s3_only      *       *         *        download
repair  out_of_sync  unseen  *         *        !not_seen
repair  out_of_sync  *       *         *        winner
evict   synced       unseen  *         *        !not_proven
evict   synced       *       recorded  *        !not_proven
evict   synced       *       *         *        evict
rm      local_only   *       *         *        trash_local
rm      s3_only      unseen  *         *        !not_seen
rm      s3_only      *       *         *        trash_s3
rm      *            unseen  *         *        !not_seen
rm      *            *       *         *        trash_s3,trash_local
*       *            *       *         *        -
"""
# local file, changed since both agreed, --prefer -> who wins
WINNERS = """
*        *          s3     download
corrupt  *          -      download
corrupt  *          local  !conflict
damaged  *          local  !conflict
sound    *          local  upload
sound    here       -      upload
damaged  here       -      download
*        in_S3      -      download
*        both       -      !conflict
*        not_known  -      !conflict
"""


def _looked_up(table: str, *words: str) -> str:
    for row in table.split("\n"):
        *conditions, told = row.split() or [""]
        if conditions and all(wanted in ("*", word) for wanted, word in zip(conditions, words, strict=True)):
            return told
    raise AssertionError(f"no row fits {words}")


def oracle(case: Case) -> list[str]:
    told = _looked_up(TABLE, case.verb, case.status, case.seen, case.evidence, case.file)
    if told == "winner":
        told = _looked_up(WINNERS, case.file, case.changed.replace(" ", "_"), case.prefer or "-")
    return [] if told == "-" else told.split(",")


RECORDS = list(
    product(
        [*(status.value for status in Status), "none"],
        [evidence.value for evidence in Evidence],
        ["unseen", "seen", "md5"],
        ["sound", "damaged", "corrupt"],
        ["here", "in S3", "both", "not known"],
        ["", "local", "s3"],
    )
)
VERBS = ["push", "pull", "repair", "evict", "rm"]


def _cases(verb: str) -> Iterator[Case]:
    for status, evidence, seen, file, changed, prefer in RECORDS:
        if changed == "in S3" and seen == "seen":
            continue  # then its MD5 is another than the one that both agreed on: told by `md5`
        yield Case(verb, status, evidence, seen, file, changed, prefer)


def _told(found: list[Action | Problem]) -> list[str]:
    return [step.op.value if isinstance(step, Action) else f"!{step.code}" for step in found]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_does_what_the_table_says(verb: str) -> None:
    for case in _cases(verb):
        assert _told(case.planned()) == oracle(case), case


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_expects_exactly_what_the_record_says(verb: str) -> None:
    here = Version(LOCAL_BYTES, MINE)
    for case in _cases(verb):
        entry = case.entry()
        there = Version(S3_BYTES, entry.s3.md5, "etag-1") if entry.s3 else None
        default = case.status == "local_only"
        for step in case.planned():
            if isinstance(step, Problem):
                assert (step.actor, step.filename) == (ACTOR, NAME)
                continue
            sides = {
                Op.UPLOAD: (here, None if verb == "push" else there),
                Op.DOWNLOAD: (None if verb == "pull" else here, there),
                Op.EVICT: (here, there),
                Op.TRASH_LOCAL: (here, None),
                Op.TRASH_S3: (None, there),
            }[step.op]
            assert (step.local, step.s3) == sides, case
            assert (step.actor, step.filename, step.location) == (ACTOR, NAME, DEFAULT if default else ELSEWHERE)
            assert (step.base, step.trashed) == (entry.synced_md5, None)
            assert step.reason


@pytest.mark.parametrize("verb", VERBS)
def test_only_what_was_chosen_is_planned(verb: str) -> None:
    status = {"push": "local_only", "pull": "s3_only", "repair": "out_of_sync"}.get(verb, "synced")
    case = Case(verb, status, "md5", "md5", "sound", "here", "")
    manifest = Manifest(ACTOR, (case.entry(),))
    for marked, good, only in product(
        [None, False, True], [False, True], [frozenset[str](), {NAME}, {"b.png"}, {NAME, "b.png"}]
    ):
        subject = Subject(ACTOR, replace(manifest, entries=(replace(case.entry(), good=marked),)), WHERE)
        found = list(planned(Verb(verb), subject, Choice(frozenset(only), good)))
        chosen = (not only or NAME in only) and (not good or marked is True)
        assert bool(found) is chosen, (marked, good, only)


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_missing_or_no_image_is_left_alone(verb: str) -> None:
    for status in Status:
        case = Case(verb, status.value, "md5", "md5", "sound", "here", "local")
        notes = replace(case.entry(), filename="notes.txt")
        manifest = Manifest(ACTOR, (notes,), (case.entry(),))
        assert list(planned(Verb(verb), Subject(ACTOR, manifest, WHERE), Choice())) == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_plan_is_in_the_order_of_the_manifest(verb: str) -> None:
    status = {"push": "local_only", "pull": "s3_only", "repair": "out_of_sync"}.get(verb, "synced")
    names = [f"{number}.png" for number in (3, 1, 2)]
    case = Case(verb, status, "md5", "md5", "sound", "here", "")
    entries = tuple(replace(case.entry(), filename=name) for name in names)
    found = planned(Verb(verb), Subject(ACTOR, Manifest(ACTOR, entries), WHERE), Choice())
    assert list(dict.fromkeys(step.filename for step in found)) == names


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, DEFAULT),
        (URL, ELSEWHERE),
        (f"s3://{ELSEWHERE.bucket}/{ELSEWHERE.key}", ELSEWHERE),
        ("https://cdn.example.com/a.png", DEFAULT),
    ],
)
def test_an_image_is_fetched_from_where_its_url_points(url: str | None, place: Location) -> None:
    entry = replace(Case("pull", "s3_only", "listed", "md5", "sound", "here", "").entry(), s3_url=url)
    (step,) = planned(Verb.PULL, Subject(ACTOR, Manifest(ACTOR, (entry,)), WHERE), Choice())
    assert isinstance(step, Action)
    assert step.location == place


def test_an_image_is_pushed_to_the_default_folder_even_if_it_was_elsewhere_once() -> None:
    entry = replace(
        Case("push", "local_only", "listed", "unseen", "sound", "here", "").entry(), alternate_s3_urls=(URL,)
    )
    (step,) = planned(Verb.PUSH, Subject(ACTOR, Manifest(ACTOR, (entry,)), WHERE), Choice())
    assert isinstance(step, Action)
    assert step.location == DEFAULT


def _documented() -> list[tuple[str, str, str, str]]:
    """The rows of the table in the docstring of what decides, without its head."""
    doc = plan._winner.__doc__ or ""
    rows = [tuple(cell.strip(" `") for cell in line.strip(" |").split("|")) for line in doc.splitlines() if "|" in line]
    return [(file, changed, prefer, wins) for file, changed, prefer, wins in rows[2:]]


DOCUMENTED_FILES = {
    "any": {"sound", "damaged", "corrupt"},
    "corrupt": {"corrupt"},
    "damaged, corrupt": {"damaged", "corrupt"},
    "sound": {"sound"},
    "damaged": {"damaged"},
    "not corrupt": {"sound", "damaged"},
}
DOCUMENTED_CHANGES = {
    "any": {"here", "in S3", "both", "not known"},
    "local": {"here"},
    "S3": {"in S3"},
    "both, or not known": {"both", "not known"},
}
DOCUMENTED_WINNERS = {"S3": ["download"], "local": ["upload"], "none": ["!conflict"]}
REPAIRS = list(product(["sound", "damaged", "corrupt"], ["here", "in S3", "both", "not known"], ["", "local", "s3"]))


@pytest.mark.parametrize("row", _documented(), ids=lambda row: ", ".join(row))
def test_the_documented_table_of_who_wins_is_true(row: tuple[str, str, str, str]) -> None:
    files, changes, prefer = DOCUMENTED_FILES[row[0]], DOCUMENTED_CHANGES[row[1]], row[2].replace("none", "")
    for file, changed in product(sorted(files), sorted(changes)):
        case = Case("repair", "out_of_sync", "md5", "md5", file, changed, prefer)
        assert _told(case.planned()) == DOCUMENTED_WINNERS[row[3]], case


def test_the_documented_table_of_who_wins_tells_every_case_once() -> None:
    for file, changed, prefer in REPAIRS:
        rows = [
            row
            for row in _documented()
            if file in DOCUMENTED_FILES[row[0]]
            and changed in DOCUMENTED_CHANGES[row[1]]
            and prefer == row[2].replace("none", "")
        ]
        assert len(rows) == 1, (file, changed, prefer)


@pytest.mark.parametrize(("file", "changed", "prefer"), REPAIRS)
def test_a_local_image_is_looked_into_where_that_could_decide_and_only_there(
    file: str, changed: str, prefer: str
) -> None:
    case = Case("repair", "out_of_sync", "md5", "md5", file, changed, prefer)
    decides = _told(case.planned(flaw="")) != _told(case.planned(flaw="it is truncated"))
    looked = local_may_win(Manifest(ACTOR, (case.entry(),)), case.choice)
    assert looked == ([NAME] if decides else [])


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (Case("repair", "out_of_sync", "md5", "md5", "sound", "both", ""), "both sides changed.*--prefer local or --prefer s3"),
        (Case("repair", "out_of_sync", "md5", "md5", "sound", "not known", ""), "which side changed is not known"),
        (Case("repair", "out_of_sync", "md5", "md5", "damaged", "here", "local"), "damaged .it is truncated.*--prefer s3"),
        (Case("evict", "synced", "recorded", "md5", "sound", "here", ""), "was not compared.*sync without --no-download"),
        (Case("push", "local_only", "listed", "unseen", "corrupt", "here", ""), "corrupt: its bytes changed"),
        (Case("pull", "s3_only", "recorded", "unseen", "sound", "here", ""), "was not seen in this run.*sync, then try again"),
    ],
)  # fmt: skip
def test_a_refusal_says_why_and_what_to_do(case: Case, said: str) -> None:
    (told,) = case.planned()
    assert isinstance(told, Problem)
    assert re.search(said, told.message)
