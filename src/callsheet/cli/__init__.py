"""The command line: arguments to the library, its reports to text or JSON, errors to exit codes."""

from __future__ import annotations

import atexit
import gc
import json
import os
import sys

import click

from callsheet.cli.commands import callsheet
from callsheet.cli.options import INTERRUPTED
from callsheet.cli.text import write_problems
from callsheet.errors import CallsheetError, LossRefused, UsageError
from callsheet.layout import printable

__all__ = ["callsheet", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run a command line and exit: the one place where errors become exit codes."""
    given = sys.argv[1:] if arguments is None else arguments
    gc.set_threshold(100_000)  # records hold no cycles, and there may be a million: looking for some costs a tenth
    atexit.register(gc.freeze)  # nor is there anything to find at the end
    try:
        sys.exit(callsheet(given, standalone_mode=False) or 0)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        if "--json" in given:
            _as_json("usage", error.format_message(), "")
        error.show()
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("callsheet: interrupted; what was finished is recorded, the next run goes on from there", err=True)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # threads that wait for a slow network would keep us here; every write is atomic
    except BrokenPipeError:  # the reader of our output has gone: `callsheet status | head`
        sys.stdout = None
        sys.exit(0)
    except CallsheetError as error:
        if "--json" in given:
            _as_json(error.code, printable(str(error)), error.hint)
        click.echo(f"callsheet: {printable(str(error))}", err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        if isinstance(error, LossRefused):
            write_problems(error.problems)
        sys.exit(error.exit_code)


def _as_json(code: str, message: str, hint: str) -> None:
    click.echo(json.dumps({"error": code, "message": message, "hint": hint}, ensure_ascii=False))
