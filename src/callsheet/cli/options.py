"""Options that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from concurrent.futures import Executor

_F = TypeVar("_F", bound=Callable[..., Any])

INTERRUPTED = 130
"""The exit code of a command that was stopped, or told no."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Write nothing; tell what would change.")
actors_argument = click.argument("actors", metavar="[ACTOR]...", nargs=-1)
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask before anything is removed or replaced.")
only_option = click.option("--only", metavar="FILE", multiple=True, help="Only this image; may be given several times.")
progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "json", "none"]),
    default="auto",
    show_default=True,
    help="How to tell progress on stderr: bars on a terminal, JSON lines, or not at all.",
)


scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    envvar="CALLSHEET_SCHEDULER",
    default="",
    help="Work on the workers of the Dask cluster whose scheduler is there: tcp://HOST:8786.",
)


class Rate(click.ParamType[int]):
    """Bytes a second: a number with K, M or G for KiB, MiB or GiB."""

    name = "rate"
    _FORM = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([KMG]?)", re.ASCII | re.IGNORECASE)
    _UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}  # noqa: RUF012

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = self._FORM.fullmatch(str(value))
        rate = int(float(match[1]) * self._UNITS[match[2].upper()]) if match else 0
        if rate < 1:
            self.fail(f"{value!r} is no rate; write 500K, 10M or 1.5M (KiB, MiB a second)", param, ctx)
        return rate


bwlimit_option = click.option(
    "--bwlimit", type=Rate(), metavar="RATE", help="Transfer at most so much a second: 500K, 10M (KiB, MiB)."
)


def tree_options(command: _F) -> _F:
    """`--root` and `--remote`, which may stand before or after the verb."""
    for option in (
        click.option(
            "--remote", metavar="URL", help="s3://BUCKET/PREFIX, or file:///DIR with a folder for each bucket."
        ),
        click.option("--root", metavar="DIR", help="The project's root, which holds data/.  [default: .]"),
    ):
        command = option(command)
    return command


def with_library(command: Callable[..., int]) -> Callable[..., int]:
    """Calls a verb with the library of the tree that the options name, as its first argument."""

    @tree_options
    @click.pass_context
    @wraps(command)
    def run(context: click.Context, /, root: str | None, remote: str | None, **arguments: Any) -> int:
        from callsheet.settings import open_library

        group_root, group_remote = context.find_root().obj
        return command(open_library(root or group_root, remote=remote or group_remote), **arguments)

    return run


@contextmanager
def workers(scheduler: str) -> Iterator[Executor | None]:
    """The executor for the jobs of a command: the cluster that `--scheduler` names; None, for threads, without one."""
    if not scheduler:
        yield None
        return
    import logging

    from callsheet.cluster import connected

    for name in ("distributed", "tornado.application"):  # what matters of it is an error of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with connected(scheduler) as cluster:
        yield cluster


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    from callsheet.codec import dump_json

    click.echo(dump_json(document).decode(), nl=False)
