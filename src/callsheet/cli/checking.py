"""The verb `fsck`, and how its findings are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from callsheet.cli.options import (
    actors_argument,
    dry_run_option,
    json_option,
    print_json,
    progress_option,
    scheduler_option,
    with_library,
    workers,
)

if TYPE_CHECKING:
    from callsheet.checkup import Checkup, Finding
    from callsheet.library import Library


@click.command()
@actors_argument
@click.option("--fix", is_flag=True, help="Mend what can be mended without a loss, and tell what that was.")
@click.option(
    "--read",
    type=click.Choice(["local", "s3", "both"]),
    help="Also read the bytes of this disk, of S3 or of both, and compare them with the record.",
)
@dry_run_option
@scheduler_option
@progress_option
@json_option
@with_library
def fsck(
    library: Library,
    actors: tuple[str, ...],
    fix: bool,
    read: str | None,
    dry_run: bool,
    scheduler: str,
    progress: str,
    as_json: bool,
) -> int:
    """Check that everything is sound, and name all that is not, with its repair.

    Reads the manifests, and looks at the folders, legacy files, the trash, the journal, locks, temporary files and a server's jobs; for
    named actors, at what is theirs. Without --read, no image is read and no network touched. Nothing is written without --fix.

    With --scheduler, the workers of a cluster read the images in S3; they need not see the tree.

    Ends with 0 if no problem was found or all were mended, and with 1 if one is left; notes are no problems. docs/fsck.md tells of each finding
    what it means.
    """
    from callsheet.cli.progress import shown
    from callsheet.errors import UsageError

    if read not in ("s3", "both"):
        if click.get_current_context().get_parameter_source("scheduler") is ParameterSource.COMMANDLINE:
            raise UsageError("Without S3 there is nothing for a cluster to read", hint="Add --read s3 or --read both.")
        scheduler = ""
    with workers(scheduler) as executor, shown(progress, "Checking") as show:
        checkup = library.fsck(
            actors, read=read or "", fix=fix, dry_run=dry_run, executor=executor, on_progress=show.look
        )
    if as_json:
        print_json(checkup.as_dict())
    else:
        _write(checkup, fix=fix)
    return 1 if checkup.problems else 0


def _write(checkup: Checkup, *, fix: bool) -> None:
    """What was mended, the notes and the sum on stdout, problems on stderr."""
    from callsheet.checkup import RULES, Severity
    from callsheet.cli.plantext import size
    from callsheet.cli.text import count

    would = fix and checkup.dry_run
    click.echo(f"🩺 FSCK{' (DRY RUN: nothing was written)' if would else ''}\n{'=' * 80}")
    for heading, findings in (("🔧 Mended", checkup.mended), ("💡 To know", checkup.notes)):
        if findings:
            lines = (_line(found, RULES[found.code].fix if findings is checkup.mended else "") for found in findings)
            click.echo("\n".join((f"{heading}:", *lines, "")))
    runs = f", {count(checkup.runs, 'run')}" if checkup.runs else ""
    read = f"read {size(checkup.read_bytes)}" if checkup.read else "read no image"
    click.echo(f"🔎 Checked {count(checkup.actors, 'actor')}, {count(checkup.images, 'image')}{runs}; {read}")
    if checkup.mended:
        click.echo(f"🔧 {count(len(checkup.mended), 'thing')} mended")
    if not checkup.problems:
        click.echo("✅ Sound" if checkup.read == "both" else "✅ Sound, as far as it was read")
        return
    errors = sum(found.severity is Severity.ERROR for found in checkup.problems)
    click.echo(f"❌ {count(errors, 'error')}, {count(len(checkup.problems) - errors, 'warning')}")
    click.echo(click.style(f"\n⚠️  {count(len(checkup.problems), 'problem')}", fg="yellow"), err=True)
    for found in checkup.problems:
        click.echo(_line(found, f"--fix: {RULES[found.code].fix}" if would and found.fixable else ""), err=True)


def _line(found: Finding, done: str) -> str:
    """Whose, how bad, what, and what to do, or what is `done` about it."""
    in_folder = "/" not in found.filename  # else it is a path, or an address
    place = "/".join(part for part in (found.actor if in_folder else "", found.filename) if part)
    return f"  {place or 'callsheet'}: {found.severity} ({found.code}): {found.message} → {done or found.repair}"
