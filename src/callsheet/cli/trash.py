"""The verb `trash`: list, restore, empty."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from callsheet.cli.moving import carry_out, confirm, tell_plan
from callsheet.cli.options import (
    dry_run_option,
    json_option,
    only_option,
    print_json,
    progress_option,
    with_library,
    yes_option,
)

if TYPE_CHECKING:
    from callsheet.library import Library


@click.group()
def trash() -> None:
    """What runs have removed or replaced: list it, restore it, empty it.

    It lies in data/.callsheet/trash here and below PREFIX/.trash in S3, under the id of the run that put it there.
    """


@trash.command("list")
@click.argument("run", default="", metavar="[RUN]")
@json_option
@with_library
def list_trash(library: Library, run: str, as_json: bool) -> int:
    """Tell what is in the trash of both sides: a line for each run, or, for one RUN, each file."""
    from callsheet.cli import plantext

    found = library.trash(*([run] if run else []))
    if as_json:
        print_json(found.as_dict())
    else:
        plantext.write_trash(found)
    return 1 if found.problems else 0


@trash.command()
@click.argument("run")
@only_option
@dry_run_option
@progress_option
@json_option
@with_library
def restore(library: Library, run: str, only: tuple[str, ...], dry_run: bool, progress: str, as_json: bool) -> int:
    """Put back the images that a run moved into the trash, on both sides.

    Nothing is replaced: where something has taken an image's place since, that is told, and both are left where they are.
    """
    from callsheet.cli.progress import shown

    with shown(progress) as show:
        proposal = library.plan_restore(run, only=only, dry_run=dry_run, on_progress=show.look)
    if dry_run:
        return tell_plan(proposal, as_json=as_json)
    return carry_out(library, proposal, progress=progress, yes=True, limit=None, as_json=as_json)


@trash.command("empty")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--older-than", type=click.IntRange(0), default=0, metavar="DAYS", help="Only of runs older than this.")
@yes_option
@dry_run_option
@json_option
@with_library
def empty_trash(
    library: Library, runs: tuple[str, ...], older_than: int, yes: bool, dry_run: bool, as_json: bool
) -> int:
    """Delete for good what is in the trash: of all runs, or of each RUN.

    What is deleted cannot be brought back, and its run cannot be taken back any more.
    """
    from callsheet.cli import plantext

    result = library.empty_trash(runs, older_than=timedelta(days=older_than), dry_run=True)
    if result.heaps and not dry_run:
        if not yes:
            confirm(plantext.trash_lines(result), "trash empty deletes files for good")
        emptied = library.empty_trash([heap.run_id for heap in result.heaps])  # what was shown, and nothing else
        result = replace(emptied, problems=(*result.problems, *emptied.problems))
    if as_json:
        print_json(result.as_dict())
    else:
        plantext.write_emptied(result, dry_run=dry_run)
    return 1 if result.problems else 0
