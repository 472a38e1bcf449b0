"""Reports as people read them: the lines of `sync`, the table of `status`, the list of problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from callsheet.errors import RemoteError
from callsheet.layout import printable
from callsheet.model import Change, Counts, Problem
from callsheet.report import ActorReport, Drift, Report

_RULE = "=" * 80
_OF_S3 = frozenset({RemoteError.code, *(kind.code for kind in RemoteError.__subclasses__())})


def write(report: Report) -> None:
    """The report on stdout, its problems on stderr."""
    lines = _sync_lines(report) if report.verb == "sync" else _status_lines(report)
    click.echo("\n".join(lines))
    write_problems(report.problems)


def write_problems(problems: Iterable[Problem]) -> None:
    """One line a problem: whose, what, what to do."""
    told = list(problems)
    if not told:
        return
    click.echo(click.style(f"\n⚠️  {count(len(told), 'problem')}", fg="yellow"), err=True)
    for problem in told:
        click.echo(f"  {problem_line(problem)}", err=True)


def problem_line(problem: Problem) -> str:
    """Whose, what, what to do."""
    place = "/".join(part for part in (problem.actor, problem.filename) if part)
    return f"{place or ('S3' if problem.code in _OF_S3 else 'callsheet')}: {problem.message}"


def _sync_lines(report: Report) -> Iterable[str]:
    yield "🔄 TRAINING DATA SYNC TO MANIFESTS" + (" (DRY RUN: nothing was written)" if report.dry_run else "")
    yield _RULE
    for row in report.actors:
        yield ""
        yield from _actor_lines(row, would="Would have " if report.dry_run else "")
    yield ""
    yield "📊 SUMMARY"
    yield _RULE
    would = "Would have " if report.dry_run else ""
    yield f"✅ Processed {len(report.actors):,} actors"
    yield f"📸 Found {report.counts.total:,} total training images"
    yield f"🗑️  {_deed(would, 'Deleted')} {report.response_json_deleted:,} response.json files"
    yield f"📝 {_deed(would, 'Updated')} {report.manifests_updated:,} manifests"
    changes = Counter(change for row in report.actors for change in row.changes.values())
    yield from _beyond_the_first_two(report.counts, changes, "")


def _actor_lines(row: ActorReport, *, would: str) -> Iterable[str]:
    counts = row.counts
    yield f"📁 Processing actor: {row.actor.name} (ID: {row.actor.id})"
    yield f"  ✅ Found {counts.total:,} training images"
    if counts.synced:
        yield f"     📤 {counts.synced:,} images have S3 URLs (synced)"
    if counts.local_only:
        yield f"     💾 {counts.local_only:,} images are local only"
    yield from _beyond_the_first_two(counts, Counter(row.changes.values()), "     ")
    if row.response_deleted:
        yield f"  🗑️  {_deed(would, 'Deleted')} response.json"
    yield f"  ✅ {_deed(would, 'Updated')} manifest" if row.manifest_updated else "  ✅ Manifest is up to date"


_CHANGED = {
    Change.LOCAL: "here",
    Change.S3: "in S3",
    Change.BOTH: "on both sides",
    Change.UNKNOWN: "on a side that is not known",
}


def _beyond_the_first_two(counts: Counts, changes: Counter[Change], indent: str) -> Iterable[str]:
    if counts.s3_only:
        yield f"{indent}☁️  {_are(counts.s3_only)} in S3 only"
    if counts.out_of_sync:
        where = ", ".join(
            f"{changes[change]:,} changed {place}" for change, place in _CHANGED.items() if changes[change]
        )
        yield f"{indent}🔀 {_are(counts.out_of_sync)} out of sync: {where}"
    if counts.missing:
        yield f"{indent}❓ {_are(counts.missing)} missing: recorded once, now on neither side"


def _status_lines(report: Report) -> Iterable[str]:
    head = ("ACTOR", "IMAGES", "SYNCED", "LOCAL ONLY", "S3 ONLY", "OUT OF SYNC", "MISSING", "ON DISK SINCE")
    rows = [(row.actor.name, *_cells(row.counts), _summary(row.drift or Drift())) for row in report.actors]
    total = (count(len(report.actors), "actor"), *_cells(report.counts), "")
    widths = [max(len(line[column]) for line in (head, *rows, total)) for column in range(len(head))]
    yield click.style(_aligned(head, widths), bold=True)
    for cells in rows:
        yield _aligned(cells, widths)
    yield click.style(_aligned(total, widths), bold=True)
    changed = [row for row in report.actors if row.drift and row.drift != Drift()]
    if changed:
        yield ""
        yield "Changed on disk since the last sync (callsheet sync takes it in):"
    for row in changed:
        yield from _drift_lines(row.actor.name, row.drift or Drift())


def _drift_lines(name: str, drift: Drift) -> Iterable[str]:
    for word, names in (
        ("orphaned, not in the manifest", drift.new),
        ("gone", drift.gone),
        ("touched", drift.touched),
    ):
        for filename in names:
            yield f"  {name}/{printable(filename)}: {word}"


def _summary(drift: Drift) -> str:
    parts = ((len(drift.new), "new"), (len(drift.gone), "gone"), (len(drift.touched), "touched"))
    return ", ".join(f"{number:,} {word}" for number, word in parts if number)


def _cells(counts: Counts) -> list[str]:
    numbers = (counts.total, counts.synced, counts.local_only, counts.s3_only, counts.out_of_sync, counts.missing)
    return [f"{number:,}" if number else "·" for number in numbers]


def _aligned(cells: Iterable[str], widths: list[int]) -> str:
    """The first and last column to the left, numbers to the right."""
    last = len(widths) - 1
    padded = (
        cell.ljust(width) if column in (0, last) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _are(number: int) -> str:
    return f"{number:,} image is" if number == 1 else f"{number:,} images are"


def count(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def by_status(counts: Counts) -> str:
    """`12 synced, 5 local only`."""
    states = (
        (counts.synced, "synced"),
        (counts.local_only, "local only"),
        (counts.s3_only, "in S3 only"),
        (counts.out_of_sync, "out of sync"),
        (counts.missing, "missing"),
    )
    return ", ".join(f"{number:,} {state}" for number, state in states if number) or "no images"


def _deed(would: str, deed: str) -> str:
    return f"{would}{deed.lower()}" if would else deed
