"""The verb `serve`."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import click

from callsheet.cli.options import with_library

if TYPE_CHECKING:
    from callsheet.library import Library


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Listen there; beyond loopback, with a token only."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8410, show_default=True, help="Listen there; 0 is any free one."
)
@click.option(
    "--token",
    metavar="TEXT",
    envvar="CALLSHEET_TOKEN",
    default="",
    help="Ask for it, 16 characters or more. Others on this machine can read a command line: better set CALLSHEET_TOKEN.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    metavar="NAME[:PORT]",
    multiple=True,
    help="Answer to that name, too: a proxy's, a tunnel's; may be given several times.",
)
@click.option("--no-watch", is_flag=True, help="Do not look at the disk unless asked.")
@click.option(
    "--poll", "poll_minutes", type=click.FloatRange(min=0.1), metavar="MINUTES", help="Look at S3 that often, unasked."
)
@click.option("--access-log", is_flag=True, help="Tell each request on stderr.")
@click.option("--open", "browse", is_flag=True, help="Open the page in a browser.")
@with_library
def serve(
    library: Library,
    host: str,
    port: int,
    token: str,
    allowed_hosts: tuple[str, ...],
    no_watch: bool,
    poll_minutes: float | None,
    access_log: bool,
    browse: bool,
) -> int:
    """Serve the page and the HTTP API, until Ctrl-C.

    Prints the address to open. Only this machine reaches it, unless --host says otherwise: then a token is needed, and made up if
    none is given; the address that is printed logs in.
    """
    import logging

    from callsheet.web.options import ServeOptions
    from callsheet.web.serve import serve as run

    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("callsheet.access").setLevel(logging.INFO)

    def ready(url: str) -> None:
        click.echo(f"callsheet is at {url}")
        if browse:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()  # a text browser would keep us

    options = ServeOptions(host, port, token, allowed_hosts, not no_watch, poll_minutes, access_log)
    run(library, options, on_ready=ready)
    return 0
