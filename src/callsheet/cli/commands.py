"""The verbs. Each asks the library and prints its report; imports of what a verb needs stay inside it, for start-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from callsheet import __version__
from callsheet.cli.checking import fsck
from callsheet.cli.moving import apply, evict, pull, push, repair, rm, undo
from callsheet.cli.options import (
    actors_argument,
    dry_run_option,
    json_option,
    print_json,
    progress_option,
    scheduler_option,
    tree_options,
    with_library,
    workers,
)
from callsheet.cli.serving import serve
from callsheet.cli.trash import trash
from callsheet.cli.watching import watch
from callsheet.errors import UsageError

if TYPE_CHECKING:
    from callsheet.library import Library
    from callsheet.report import Report


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@tree_options
@click.version_option(__version__)
@click.pass_context
def callsheet(context: click.Context, root: str | None, remote: str | None) -> None:
    """Know, prove and mend where every image of a training-data set is: on this disk, in S3, in both, or in both but different.

    One JSON manifest for each actor, in data/actor_manifests, is the truth. ACTOR is a folder's name or its number:
    0000_european_16_male, 0000 or 0.

    Settings come from options, then CALLSHEET_* variables, then callsheet.toml at the root. AWS credentials, profile and
    endpoint come from where the AWS tools find them.

    Exit codes: 0 done; 1 done, but with problems, each named; 2 wrong usage; 3 nothing could be done; 130 interrupted.
    """
    context.obj = (root, remote)


@callsheet.command()
@actors_argument
@click.option("--offline", is_flag=True, help="Do not look at S3: what is recorded of it stands.")
@click.option("--verify", is_flag=True, help="Hash every file again, and tell those whose bytes changed unnoticed.")
@click.option("--no-download", is_flag=True, help="Never read an object's bytes to learn its MD5; it stays unchecked.")
@click.option("--accept-loss", is_flag=True, help="Record that many images are gone, where sync would stop and ask.")
@scheduler_option
@dry_run_option
@progress_option
@json_option
@with_library
def sync(
    library: Library,
    actors: tuple[str, ...],
    offline: bool,
    verify: bool,
    no_download: bool,
    accept_loss: bool,
    scheduler: str,
    dry_run: bool,
    progress: str,
    as_json: bool,
) -> int:
    """Look at disk and S3, and bring the manifests up to date.

    Scans and hashes local images, lists S3 once, compares, and writes what was learnt. A file that has not changed is not
    read again. URLs, prompts and marks of older response.json and prompt_metadata.json files are taken over; a
    response.json goes into data/.callsheet/trash once all of its URLs are safe in a manifest. No image is moved,
    changed or deleted, on either side.
    """
    from callsheet.cli.progress import shown

    with workers(scheduler) as executor, shown(progress) as show:
        report = library.sync(
            actors,
            offline=offline,
            verify=verify,
            download=not no_download,
            dry_run=dry_run,
            accept_loss=accept_loss,
            executor=executor,
            on_progress=show.look,
        )
    return _tell(report, as_json=as_json)


@callsheet.command()
@actors_argument
@json_option
@with_library
def status(library: Library, actors: tuple[str, ...], as_json: bool) -> int:
    """Tell what the manifests say, and what has changed on disk since.

    Answers at once: no network, no hashing, nothing is written.
    """
    return _tell(library.status(actors), as_json=as_json)


@callsheet.command()
@click.argument("folder")
@click.option("--own", is_flag=True, help="It is another actor: give it a manifest of its own, FOLDER_manifest.json.")
@dry_run_option
@json_option
@with_library
def adopt(library: Library, folder: str, own: bool, dry_run: bool, as_json: bool) -> int:
    """Settle a collision: say whose a manifest is.

    Two folders can have one number, and a manifest can name a folder that has been renamed. sync leaves such folders alone
    and tells them. Without --own, the manifest of FOLDER's number is made to name FOLDER.
    """
    actor = library.adopt(folder, own=own, dry_run=dry_run)
    path = library.where.manifest(actor.stem)
    if as_json:
        print_json(
            {"verb": "adopt", "dry_run": dry_run, "actor_name": actor.name, "actor_id": actor.id, "manifest": path}
        )
    elif dry_run:
        click.echo(f"{path} would name {actor.name}; nothing was written")
    else:
        click.echo(f"{path} now names {actor.name}. Next: callsheet sync {actor.name}")
    return 0


@callsheet.command()
@click.argument("actor")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--good/--not-good", default=None, help="Mark as good for training, or take the mark away.")
@click.option("--prompt", metavar="TEXT", help="Set the prompt; an empty one takes it away.")
@dry_run_option
@json_option
@with_library
def mark(
    library: Library,
    actor: str,
    files: tuple[str, ...],
    good: bool | None,
    prompt: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Set images' good mark or prompt, in the manifest.

    FILE is an image's name. All of them are marked, or, if the manifest records one of them not, none.
    """
    if good is None and prompt is None:
        raise UsageError("There is nothing to set", hint="Give --good, --not-good or --prompt TEXT.")
    images = library.mark(actor, *files, good=good, prompt=prompt, dry_run=dry_run)
    if as_json:
        rows = [
            {"filename": image.filename, "good": bool(image.good), "prompt": image.prompt or None} for image in images
        ]
        print_json({"verb": "mark", "dry_run": dry_run, "images": rows})
        return 0
    for image in images:
        prompted = f", prompt: {image.prompt}" if image.prompt else ""
        click.echo(f"{image.filename}: {'good' if image.good else 'not marked good'}{prompted}")
    if dry_run:
        click.echo("Nothing was written: this was a dry run.")
    return 0


@callsheet.command()
@click.argument("directory", default="callsheet-demo", metavar="[DIRECTORY]")
@click.option(
    "--big", type=click.IntRange(1, 100_000), metavar="N", help="N actors with small pictures, to try out scale."
)
@click.option("--serve", "and_serve", is_flag=True, help="Then serve it, until Ctrl-C: see callsheet serve.")
@json_option
def demo(directory: str, big: int | None, and_serve: bool, as_json: bool) -> int:
    """Make a small made-up data set with every status in it, sync it, and tell what to look at.

    Writes into DIRECTORY [default: callsheet-demo], with a folder as its bucket: no S3, no credentials. A demo that is
    already there is replaced; any other folder that is not empty is refused.
    """
    from callsheet.cli.demo import make_demo, show_demo

    tree, report = make_demo(directory, big)
    if as_json:
        print_json({**report.as_dict(), "root": tree.root, "notes": list(tree.notes)})
    else:
        show_demo(tree, report)
    if and_serve:
        callsheet.main(["--root", tree.root, "serve"], standalone_mode=False)
    return 0


def _tell(report: Report, *, as_json: bool) -> int:
    """Print a report; the exit code says whether it names problems."""
    from callsheet.cli import text

    if as_json:
        print_json(report.as_dict())
    else:
        text.write(report)
    return 1 if report.problems else 0


for verb in (fsck, push, pull, repair, evict, rm, apply, undo, trash, serve, watch):
    callsheet.add_command(verb)
