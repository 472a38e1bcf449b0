"""Many clients at once, while jobs run and marks are set: whole answers, no lost mark, no failure of the server."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import urllib3

from api_server import Api, running
from asking import done
from callsheet.remote.directory import DirectoryRemote
from factory import Tree
from stage import picture

ACTORS = [f"000{number}_actor" for number in range(4)]
IMAGES = [f"{number:02}.png" for number in range(25)]
CLIENTS = 50


def consistent(document: dict[str, Any]) -> None:
    """Counts are those of the rows; each row agrees with itself; names are there once, in order."""
    rows = document["training_images"]
    counted = Counter(row["status"] for row in rows)
    assert document["total_count"] == len(rows)
    for status in ("synced", "local_only", "s3_only", "out_of_sync"):
        assert document[f"{status}_count"] == counted[status]
    names = [row["filename"] for row in rows]
    assert names == sorted(set(names))
    assert names == IMAGES, "an image is never out of sight"
    for row in rows:
        assert (row["local_path"] is not None) == row["local_exists"]
        assert row["status"] in ("synced", "local_only", "s3_only")
        assert row["status"] == "local_only" or row["s3"] is not None


def read(api: Api, actor: str, over: threading.Event, failures: list[object]) -> None:
    with urllib3.PoolManager(timeout=30) as http:
        tag = ""
        while not over.is_set():
            headers = {"If-None-Match": tag} if tag else {}
            answer = http.request("GET", f"{api.base}/api/actors/{actor}/training-data", headers=headers, retries=False)
            try:
                assert answer.status in (200, 304), (answer.status, answer.data[:200])
                if answer.status == 200:
                    consistent(orjson.loads(answer.data))
                    tag = answer.headers["etag"]
            except (AssertionError, ValueError, KeyError) as failure:
                failures.append(failure)


def mark(api: Api, actor: str, wanted: dict[str, bool], failures: list[object]) -> None:
    with urllib3.PoolManager(timeout=30) as http:
        for filename, good in wanted.items():
            answer = http.request(
                "PATCH", f"{api.base}/api/actors/{actor}/training-data/{filename}", json={"good": good}, retries=False
            )
            if answer.status != 200 or orjson.loads(answer.data)["good"] is not good:
                failures.append((answer.status, answer.data[:200]))


def move(api: Api, actor: str, failures: list[object]) -> None:
    for verb in ("push", "evict", "pull"):
        ended = done(api, verb=verb, actors=[actor])
        failures.extend(ended["problems"])
        if ended["summary"]["done"] != len(IMAGES):
            failures.append(ended)


def test_fifty_readers_see_whole_answers_and_no_mark_is_lost(tmp_path: Path) -> None:
    store = DirectoryRemote(str(tmp_path / "buckets"), "us-west-1")
    tree = Tree(tmp_path / "project", store)
    (tmp_path / "buckets" / tree.where.bucket).mkdir(parents=True)
    for actor in ACTORS:
        for seed, name in enumerate(IMAGES):
            tree.image(actor, name, picture(seed))
    tree.library().sync()
    choice = random.Random(7)
    marks = {actor: {name: choice.random() < 0.5 for name in IMAGES} for actor in ACTORS}
    failures: list[object] = []
    with running(tree.library()) as api:
        over = threading.Event()
        readers = [
            threading.Thread(target=read, args=(api, ACTORS[number % len(ACTORS)], over, failures))
            for number in range(CLIENTS)
        ]
        writers = [threading.Thread(target=mark, args=(api, actor, marks[actor], failures)) for actor in ACTORS]
        writers += [threading.Thread(target=move, args=(api, actor, failures)) for actor in ACTORS]
        for thread in (*readers, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        over.set()
        for thread in readers:
            thread.join()
        assert not failures, failures[:3]
        for actor in ACTORS:
            rows = api.json(f"/api/actors/{actor}/training-data")["training_images"]
            assert {row["filename"]: row["good"] for row in rows} == marks[actor]
            assert {row["status"] for row in rows} == {"synced"}
