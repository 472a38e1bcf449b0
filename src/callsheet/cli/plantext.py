"""Plans, what came of them, and the trash, as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from callsheet.action import Action, Curation, Op, Plan, Verb
from callsheet.cli.text import by_status, count, write_problems
from callsheet.layout import printable
from callsheet.model import Problem
from callsheet.result import Transfer
from callsheet.trash import Heap, Trash

_RULE = "=" * 80
_TITLES = {
    Verb.PUSH: "⬆️  PUSH",
    Verb.PULL: "⬇️  PULL",
    Verb.REPAIR: "🔧 REPAIR",
    Verb.EVICT: "🧹 EVICT",
    Verb.RM: "🗑️  REMOVE",
    Verb.UNDO: "↩️  UNDO",
    Verb.RESTORE: "♻️  RESTORE",
}
_DEEDS = {
    Op.UPLOAD: ("upload", "uploaded"),
    Op.DOWNLOAD: ("download", "downloaded"),
    Op.EVICT: ("delete here", "deleted here; S3 holds the same bytes"),
    Op.TRASH_LOCAL: ("to the trash here", "moved to the trash here"),
    Op.TRASH_S3: ("to the trash in S3", "moved to the trash in S3"),
    Op.RESTORE_LOCAL: ("restore here", "restored here"),
    Op.RESTORE_S3: ("restore in S3", "restored in S3"),
}


def write_plan(plan: Plan, problems: Iterable[Problem], written_to: str) -> None:
    """A plan on stdout, its problems on stderr; `written_to` is the file that it is in, if it is in one."""
    told = list(problems)
    click.echo("\n".join(plan_lines(plan, note=" (DRY RUN: nothing was moved)")))
    if not plan.actions and not plan.marks:
        click.echo(_nothing(plan.verb, told))
    if written_to and plan.actions:
        click.echo(f"📝 Plan written. Carry it out: callsheet apply {printable(written_to)}")
    write_problems(told)


def plan_lines(plan: Plan, *, most: int | None = None, note: str = "") -> Iterable[str]:
    """One line an action, at most `most` of them."""
    images = {(action.actor, action.filename) for action in plan.actions}
    images |= {(mark.actor, mark.filename) for mark in plan.marks}
    total = sum(action.transferred_bytes for action in plan.actions)
    freed = sum(action.size_bytes for action in plan.actions if action.op is Op.EVICT)
    amount = f", {size(total)} to transfer" if total else f", {size(freed)} to be freed here" if freed else ""
    yield f"{_title(plan)}: {count(len(images), 'image')}{amount}{note}"
    yield _RULE
    shown = plan.actions if most is None else plan.actions[:most]
    width = max((len(_name(action)) for action in shown), default=0)
    for action in shown:
        replacing = ", replacing what is there" if action.replaced and not action.op.removes else ""
        deed = f"{_DEEDS[action.op][0]}{replacing}"
        yield f"  {_name(action).ljust(width)}  {size(action.size_bytes):>8}  {deed}: {printable(action.reason)}"
    for mark in plan.marks[:most]:
        yield f"  {printable(f'{mark.actor}/{mark.filename}')}  {_said(mark.before)} → {_said(mark.after)}"
    if len(shown) < len(plan.actions):
        yield f"  … and {len(plan.actions) - len(shown):,} more; --dry-run lists them all"
    if most is not None and plan.refusals:
        yield f"  {count(len(plan.refusals), 'image')} refused; --dry-run says why"


def write_transfer(result: Transfer) -> None:
    """What was done on stdout, what was not on stderr."""
    for line in _transfer_lines(result):
        click.echo(line)
    for note in result.notes:
        click.echo(f"Note: {note}", err=True)
    write_problems(result.report.problems)


def _transfer_lines(result: Transfer) -> Iterable[str]:
    yield _title(result.plan)
    yield _RULE
    if not result.plan.actions and not result.plan.marks:
        yield _nothing(result.plan.verb, result.report.problems)
    if result.marked:
        yield f"✅ {count(result.marked, 'mark')} taken back"
    done = Counter(outcome.action.op for outcome in result.done)
    for op, number in done.items():
        amount = sum(outcome.action.size_bytes for outcome in result.done if outcome.action.op is op)
        yield f"✅ {count(number, 'image')} {_DEEDS[op][1]} ({size(amount)})"
    failed = len(result.outcomes) - len(result.done)
    if failed:
        yield f"❌ {count(failed, 'action')} failed"
    if result.interrupted:
        left = len(result.plan.actions) - len(result.outcomes)
        yield f"⏹️  Interrupted: {count(left, 'action')} not begun; the same command goes on from here"
    if result.report.actors:
        yield f"📸 Now: {by_status(result.report.counts)}"
    if result.done or result.marked:
        yield f"↩️  Take it back: callsheet undo {result.run_id}"


def _title(plan: Plan) -> str:
    return f"{_TITLES[plan.verb]} of {plan.undoes}" if plan.undoes else _TITLES[plan.verb]


def _nothing(verb: Verb, problems: Iterable[Problem]) -> str:
    """Where S3 was not seen, that there is nothing to do is not known."""
    if any(not problem.actor for problem in problems):
        return "⚠️  Nothing was planned, for S3 was not seen, or not all of it"
    return f"✅ Nothing to {'remove' if verb is Verb.RM else verb.value}"


def write_trash(trash: Trash) -> None:
    """What is in the trash."""
    if not trash.heaps:
        click.echo("The trash is empty.")
    for line in trash_lines(trash):
        click.echo(line)
    write_problems(trash.problems)


def write_emptied(trash: Trash, *, dry_run: bool) -> None:
    """What was deleted for good, or would be."""
    for heap in trash.heaps:
        click.echo(_heap_line(heap))
    deed = "would be deleted" if dry_run else "deleted"
    click.echo(f"🗑️  {_total(trash)} {deed} for good" if trash.heaps else "Nothing to delete.")
    write_problems(trash.problems)


def trash_lines(trash: Trash) -> Iterable[str]:
    """One line a run, and the total; every file, if it is a single run."""
    for heap in trash.heaps:
        yield _heap_line(heap)
        if len(trash.heaps) == 1:
            yield from (f"  {size(amount):>8}  {printable(path)}" for path, amount in (*heap.here, *heap.in_s3))
    if trash.heaps:
        yield f"🗑️  {_total(trash)} in the trash"


def _total(trash: Trash) -> str:
    return f"{count(len(trash.heaps), 'run')}, {size(sum(heap.size_bytes for heap in trash.heaps))}"


def _heap_line(heap: Heap) -> str:
    parts = ((len(heap.here), "here"), (len(heap.in_s3), "in S3"))
    where = ", ".join(f"{count(number, 'file')} {place}" for number, place in parts if number)
    return (
        f"{heap.run_id}  {heap.verb or ('foreign' if heap.elsewhere else 'sync'):<7}  {where}, {size(heap.size_bytes)}"
    )


def size(size_bytes: int) -> str:
    """Bytes in the unit that people would use: 320.0 kB."""
    from rich.filesize import decimal

    return decimal(size_bytes).replace(" bytes", " B")


def _said(curation: Curation) -> str:
    prompt = f", prompt: {printable(curation.prompt)}" if curation.prompt else ""
    return f"{'good' if curation.good else 'not marked good'}{prompt}"


def _name(action: Action) -> str:
    return printable(f"{action.actor}/{action.filename}")
