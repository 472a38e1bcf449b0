"""Events come over HTTP as they happen, and whoever lost the connection goes on from there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3
import zstandard

from api_server import Api, running
from factory import Tree

ACTOR = "0000_ann"


@pytest.fixture
def ann(tree: Tree) -> Tree:
    for number in range(3):
        tree.image(ACTOR, f"{number}.png")
    tree.library().sync()
    return tree


@pytest.fixture
def api(ann: Tree) -> Iterator[Api]:
    with running(ann.library(), watch=False) as api:
        yield api


Told = tuple[str, str, dict[str, Any]]


@contextmanager
def events(api: Api, **headers: str) -> Iterator[tuple[urllib3.BaseHTTPResponse, Iterator[Told]]]:
    """The answer, and kind, id and data of each event as it comes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = api.http.request("GET", f"{api.base}/api/events", headers=named, preload_content=False, retries=False)

    def told() -> Iterator[Told]:
        text, zstd = "", answer.headers.get("Content-Encoding") == "zstd"
        decoded = zstandard.ZstdDecompressor().decompressobj().decompress if zstd else bytes
        for chunk in answer.stream(1, decode_content=not zstd):  # urllib3 decodes all others
            text += decoded(chunk).decode()
            while "\n\n" in text:
                event, _, text = text.partition("\n\n")
                fields = dict(re.findall(r"^(\w+): (.*)$", event, re.MULTILINE))
                if "event" in fields:
                    yield fields["event"], fields.get("id", ""), json.loads(fields["data"])

    try:
        yield answer, told()
    finally:
        answer.close()


def test_whoever_comes_back_hears_what_was_missed_also_if_nothing_was_heard_before(api: Api, ann: Tree) -> None:
    last_id = ""
    for good in (1, 2):
        with events(api, **({"last_event_id": last_id} if last_id else {})) as (_, told):
            kind, last_id, _ = next(told)
            assert (kind, bool(last_id)) == ("hello", True)
        ann.library().mark(ACTOR, f"{good}.png", good=True)
        api.json("/api/actors")
        with events(api, last_event_id=last_id) as (_, told):
            assert next(told)[0] == "hello"
            kind, last_id, row = next(told)
            assert (kind, row["actor_name"], row["good_count"]) == ("actor", ACTOR, good)


def test_whoever_comes_back_to_another_server_is_told_to_load_anew(api: Api) -> None:
    with events(api, last_event_id="another-7") as (_, told):
        assert [next(told)[0] for _ in range(2)] == ["hello", "reset"]


@pytest.mark.parametrize("coding", ["gzip", "zstd", "br"])
def test_events_are_compressed_and_come_one_by_one(api: Api, ann: Tree, coding: str) -> None:
    with events(api, accept_encoding=coding) as (answer, told):
        assert answer.headers["Content-Encoding"] == coding
        assert next(told)[0] == "hello"  # before there is another that could push it out
        for good in (1, 2):
            ann.library().mark(ACTOR, f"{good}.png", good=True)
            assert next(told)[2]["good_count"] == good
