"""The verb `demo`: write the made-up data set, sync it, say what to look at."""

from __future__ import annotations

import json
import os

import click

from callsheet.cli import text
from callsheet.cli.progress import shown
from callsheet.demo import ground
from callsheet.demo.tree import DemoTree, add_orphan, buckets, write_demo
from callsheet.layout import Layout
from callsheet.remote import open_remote
from callsheet.report import Report
from callsheet.settings import FILE, open_library

_BUCKETS = "buckets"


def make_demo(directory: str, big: int | None) -> tuple[DemoTree, Report]:
    """Make the demo in `directory`, with `big` small actors if given, and sync it."""
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
    with shown("auto") as show:
        report = open_library(root).sync(on_progress=show.look)
    if big is None:
        add_orphan(root, where)
    return tree, report


def show_demo(tree: DemoTree, report: Report) -> None:
    """Print what the sync said, and what to look at."""
    text.write(report)
    shown = os.path.relpath(tree.root)
    numbers = f"{tree.actors:,} actors, {tree.images:,} images on disk, {tree.objects:,} objects in the buckets"
    click.echo(f"\n🎬 {numbers}: {shown}")
    for note in tree.notes:
        click.echo(f"  • {note}")
    click.echo("\nNext:")
    click.echo(f"  callsheet --root {shown} status")
    click.echo(f"  callsheet --root {shown} serve       # the page, in a browser")
    click.echo(f"  callsheet --root {shown} sync        # takes in the new picture; after that it changes nothing")
