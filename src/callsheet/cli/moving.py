"""The verbs that move images: each makes a plan, shows it where it must, carries it out, and tells what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from callsheet.cli.options import (
    INTERRUPTED,
    actors_argument,
    bwlimit_option,
    dry_run_option,
    json_option,
    only_option,
    print_json,
    progress_option,
    scheduler_option,
    with_library,
    workers,
    yes_option,
)
from callsheet.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from callsheet.action import Plan
    from callsheet.library import Library
    from callsheet.result import Proposal

_F = TypeVar("_F", bound=Callable[..., Any])

_actor_option = click.option(
    "--actor", "more_actors", metavar="ACTOR", multiple=True, help="The same as ACTOR; may be given several times."
)
_good_option = click.option("--good", is_flag=True, help="Only images that are marked good.")
_plan_out_option = click.option(
    "--plan-out",
    type=click.Path(dir_okay=False, writable=True),
    help="Write the plan to a file for `apply`; move nothing.",
)


def _with(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_choosing = _with(actors_argument, _actor_option, only_option, _good_option)
_carrying = _with(bwlimit_option, dry_run_option, _plan_out_option, progress_option, json_option)


@click.command()
@_choosing
@scheduler_option
@_carrying
@with_library
def push(library: Library, **options: Any) -> int:
    """Upload the images that are only on this disk.

    All of them, or those of the actors and files that are named. Nothing in S3 is ever replaced: an object that
    has appeared meanwhile is told, and left as it is.
    """
    return _move(library, "push", yes=True, **options)


@click.command()
@_choosing
@scheduler_option
@_carrying
@with_library
def pull(library: Library, **options: Any) -> int:
    """Download the images that are only in S3.

    All of them, or those of the actors and files that are named. What arrives is checked before it gets its name. Nothing on this
    disk is ever replaced: a file that has appeared meanwhile is told, and left as it is.
    """
    return _move(library, "pull", yes=True, **options)


@click.command()
@_choosing
@click.option("--prefer", type=click.Choice(["local", "s3"]), help="This side wins, whichever changed.")
@yes_option
@scheduler_option
@_carrying
@with_library
def repair(library: Library, **options: Any) -> int:
    """Mend the images that differ between this disk and S3: the side that changed wins.

    Where both changed, or it is not known which, nothing is replaced until --prefer says which side to take; name the file with
    --only to settle just that one. A local image that is corrupt, truncated or cannot be decoded never replaces an object. What is
    replaced goes to the trash of its side: `callsheet undo` takes a repair back.
    """
    return _move(library, "repair", **options)


@click.command()
@_choosing
@yes_option
@_carrying
@with_library
def evict(library: Library, **options: Any) -> int:
    """Free space: delete local images that S3 holds, byte for byte.

    Each object is looked at in this very run, and the file hashed again, before the file is deleted. `callsheet pull` fetches them again.
    """
    return _move(library, "evict", **options)


@click.command()
@_choosing
@yes_option
@_carrying
@with_library
def rm(library: Library, **options: Any) -> int:
    """Remove images from both sides, into the trash of each.

    Of the actors that are named: all of their images, or those given with --only. `callsheet undo` brings them back until the
    trash is emptied.
    """
    return _move(library, "rm", **options)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@yes_option
@bwlimit_option
@dry_run_option
@progress_option
@json_option
@with_library
def apply(
    library: Library, file: str, yes: bool, bwlimit: int | None, dry_run: bool, progress: str, as_json: bool
) -> int:
    """Carry out a plan that was written with --plan-out.

    What has changed since the plan was made, on either side, is told and left as it is; the rest is done.
    """
    from callsheet import local
    from callsheet.planfile import read_plan
    from callsheet.report import Report
    from callsheet.result import Proposal

    plan = read_plan(local.read_bytes(file) or b"", file)
    if dry_run:
        return tell_plan(Proposal(plan, Report(plan.verb.value, (), ())), as_json=as_json)
    return carry_out(library, plan, progress=progress, yes=yes, limit=bwlimit, as_json=as_json)


@click.command()
@click.argument("run", default="", metavar="[RUN]")
@yes_option
@bwlimit_option
@dry_run_option
@progress_option
@json_option
@with_library
def undo(
    library: Library, run: str, yes: bool, bwlimit: int | None, dry_run: bool, progress: str, as_json: bool
) -> int:
    """Take back what a run did, on both sides.

    RUN is the id that the run told when it ended; without one, the last run that changed something and was not taken back. What
    has changed since then is told and left as it is. An undo can be taken back by its own id.
    """
    from callsheet.cli.progress import shown

    with shown(progress) as show:
        proposal = library.plan_undo(run, dry_run=dry_run, on_progress=show.look)
    if dry_run:
        return tell_plan(proposal, as_json=as_json)
    return carry_out(library, proposal, progress=progress, yes=yes, limit=bwlimit, as_json=as_json)


def _move(
    library: Library,
    verb: str,
    *,
    actors: tuple[str, ...],
    more_actors: tuple[str, ...],
    only: tuple[str, ...],
    good: bool,
    bwlimit: int | None,
    dry_run: bool,
    plan_out: str | None,
    progress: str,
    as_json: bool,
    yes: bool = False,
    prefer: str | None = None,
    scheduler: str = "",
) -> int:
    from callsheet.cli.progress import shown

    with workers(scheduler) as executor:
        with shown(progress) as show:
            proposal = library.plan(
                verb,
                (*actors, *more_actors),
                only=only,
                good=good,
                prefer=prefer or "",
                dry_run=dry_run or plan_out is not None,
                record_later=True,
                executor=executor,
                on_progress=show.look,
            )
        if plan_out is not None:
            _write_plan(proposal.plan, plan_out)
        if dry_run or plan_out is not None:
            return tell_plan(proposal, as_json=as_json, written_to=plan_out or "")
        return carry_out(
            library, proposal, progress=progress, yes=yes, limit=bwlimit, as_json=as_json, executor=executor
        )


def carry_out(
    library: Library,
    plan: Plan | Proposal,
    *,
    progress: str,
    yes: bool,
    limit: int | None,
    as_json: bool,
    executor: Executor | None = None,
) -> int:
    """Ask if that is due, carry out, tell. The exit code says whether all went well.

    Nothing is asked or told while progress is shown: bars would draw over it.
    """
    from callsheet.cli import plantext
    from callsheet.cli.patience import patient
    from callsheet.cli.progress import shown
    from callsheet.result import Proposal

    what = plan.plan if isinstance(plan, Proposal) else plan
    if what.destructive and not yes:
        confirm(plantext.plan_lines(what, most=20), f"{what.verb} removes or replaces images")
    with shown(progress) as show, patient() as stop:
        result = library.apply(
            plan, limit_bytes_s=limit, stop=stop, on_moved=show.moved, on_progress=show.look, executor=executor
        )
    if as_json:
        print_json(result.as_dict())
    else:
        plantext.write_transfer(result)
    if result.interrupted:
        return INTERRUPTED
    return 1 if result.report.problems else 0


def confirm(lines: Iterable[str], danger: str) -> None:
    """Show what is about to happen and ask; `UsageError` where nobody can answer, `Exit` for a no."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError(f"{danger}, and nobody is there to be asked", hint="Look with --dry-run, then give --yes.")
    click.echo("\n".join(lines), err=True)
    if not click.confirm("Go on?", err=True):
        click.echo("No image was touched.", err=True)
        raise click.exceptions.Exit(INTERRUPTED)


def tell_plan(proposal: Proposal, *, as_json: bool, written_to: str = "") -> int:
    """What would be done, on stdout; `written_to` is the file that the plan is in, if it is in one."""
    from callsheet.cli import plantext
    from callsheet.report import distinct

    problems = distinct((*proposal.seen.problems, *proposal.plan.refusals))
    if as_json:
        print_json(proposal.as_dict())
    else:
        plantext.write_plan(proposal.plan, problems, written_to)
    return 1 if problems else 0


def _write_plan(plan: Plan, path: str) -> None:
    from callsheet import files
    from callsheet.codec import dump_json
    from callsheet.planfile import plan_as_dict

    files.write_atomically(path, dump_json(plan_as_dict(plan)))
