"""The verb `demo`: write the made-up data set, sync it, say what to look at."""

from __future__ import annotations

import json
import os

import click

from callsheet.cli import text
from callsheet.cli.progress import progress_bar
from callsheet.demo import ground
from callsheet.demo.tree import add_orphan, buckets, write_demo
from callsheet.layout import Layout
from callsheet.remote import open_remote
from callsheet.settings import FILE, open_library

_BUCKETS = "buckets"


def run_demo(directory: str, big: int | None) -> int:
    """Make the demo in `directory`, with `big` small actors if given; the exit code. Its collision is no failure."""
    root = os.path.abspath(directory)
    url = f"file://{os.path.join(root, _BUCKETS)}"
    where = Layout()
    ground.claim(root, where)
    for bucket in buckets(where):
        os.makedirs(os.path.join(root, _BUCKETS, bucket), exist_ok=True)
    tree = write_demo(root, open_remote(url, layout=where), where, actors=big)
    with open(os.path.join(root, FILE), "w", encoding="utf-8") as file:
        file.write(
            f"# The demo's bucket is a folder. With S3 it would be s3://bucket/prefix.\nremote = {json.dumps(url)}\n"
        )
    with progress_bar() as show:
        report = open_library(root).sync(on_progress=show)
    text.write(report)
    if big is None:
        add_orphan(root, where)
    shown = os.path.relpath(root)
    click.echo(
        f"\n🎬 {tree.actors:,} actors, {tree.images:,} images on disk, {tree.objects:,} objects in the buckets: {shown}"
    )
    for note in tree.notes:
        click.echo(f"  • {note}")
    click.echo(
        f"\nNext:\n  callsheet --root {shown} status\n  callsheet --root {shown} sync        # again: it changes nothing"
    )
    return 0
