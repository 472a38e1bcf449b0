"""What becomes of jobs when their server ends: asked to, or killed in the middle of a run against a real S3 server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
import urllib3

from api_server import Api, running
from asking import ask, ended, job, sent, wait_until
from callsheet.errors import TreeError
from callsheet.remote.s3 import S3Remote
from callsheet.settings import open_library
from callsheet.web.service import Service
from command import environment, run
from factory import Tree
from faults import Reply, Seen, fault_server
from gate import Gate
from servers import REGION, Server
from stage import ANNA, BERT, picture

NAMES = [f"{number:02}.png" for number in range(40)]


@contextmanager
def served(root: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Api]]:
    """A server process of its own. `Api.service` is not to be used."""
    command = [sys.executable, "-m", "callsheet", "--root", str(root), "serve", "--port", "0", "--no-watch"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen(command, env=environment({**env, "PYTHONUNBUFFERED": "1"}), **pipes) as process,  # type: ignore[call-overload]
        urllib3.PoolManager(timeout=20) as http,
    ):
        try:
            line = process.stdout.readline().decode()
            yield process, Api(line.rpartition(" ")[2].strip(), None, http)  # type: ignore[arg-type]
        finally:
            process.kill()


def test_a_server_that_is_killed_amid_a_push_is_gone_on_with(tmp_path: Path, ministack_server: Server) -> None:
    bucket = ministack_server.make_bucket(f"jobs-{os.urandom(6).hex()}")
    tree = Tree(tmp_path / "project", S3Remote(REGION, endpoint_url=ministack_server.endpoint))
    contents = {name: os.urandom(64 << 10) for name in NAMES}
    for name, content in contents.items():
        tree.image(ANNA, name, content)
    library = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_BUCKET": bucket})
    library.sync()
    env = {**ministack_server.env, "CALLSHEET_BUCKET": bucket, "CALLSHEET_TRANSFERS": "1"}
    prefix = f"{library.where.key_prefix()}{ANNA}/"

    def objects() -> dict[str, str]:
        return {found.location.key.removeprefix(prefix): found.etag for found in library.remote.list(bucket, prefix)}

    forwarding: list[Seen] = []

    def slow(seen: Seen) -> Reply:
        forwarding.append(seen)
        reply = s3.forwarded(seen)
        forwarding.remove(seen)
        time.sleep(0.1 if seen.method == "PUT" else 0.0)
        return reply

    with (
        fault_server(ministack_server.endpoint) as s3,
        served(tree.root, {**env, "AWS_ENDPOINT_URL_S3": s3.endpoint}) as (process, api),
    ):
        s3.rule = slow
        first = ask(api, verb="push")
        waiting = ask(api, verb="verify")
        wait_until(lambda: len(job(api, first["id"])["outcomes"]) >= 3)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        wait_until(lambda: not forwarding)
    arrived = objects()
    assert 3 <= len(arrived) < len(NAMES), "it was killed in the middle"
    with served(tree.root, env) as (process, api):
        left = job(api, first["id"])
        assert (left["state"], job(api, waiting["id"])["state"]) == ("interrupted", "interrupted")
        known = {row["filename"] for row in left["outcomes"]}
        assert known <= arrived.keys()
        assert len(arrived) - len(known) <= 1
        assert left["moved"]["actions_done"] == len(known)
        assert left["moved"]["actions_total"] == len(NAMES)
        rest = ended(api, sent(api, "POST", f"/api/jobs/{first['id']}/resume", 202))
        assert (rest["state"], rest["problems"]) == ("done", [])
        assert {row["filename"] for row in rest["outcomes"]} == set(NAMES) - arrived.keys(), "nothing is sent twice"
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=20)[1]
        assert (process.returncode, err) == (0, b"")
    assert objects().keys() == contents.keys()
    assert set(tree.statuses("0000").values()) == {"synced"}
    assert library.sync().manifests_updated == 0


def test_a_server_that_ends_lets_jobs_finish_what_is_under_way(tmp_path: Path) -> None:
    gate = Gate()
    tree = Tree(tmp_path / "project", gate)
    for number in range(20):
        tree.image(ANNA, f"{number:02}.png", picture(number))
    tree.image(BERT, "bert.png", picture(30))
    library = open_library(tree.root, remote=gate, environ={"CALLSHEET_TRANSFERS": "1"})
    with running(library, watch=False) as api:
        first = ask(api, verb="push", actors=[ANNA])
        waiting = ask(api, verb="verify", actors=[ANNA])
        wait_until(lambda: gate.waiting)
        jobs = api.service.jobs
        gate.delay_s = 0.2
        gate.opened.set()
    assert [jobs.get(asked["id"]).state for asked in (first, waiting)] == ["interrupted", "interrupted"]
    done = len(jobs.outcomes(jobs.get(first["id"]), 0, 100)[0])
    assert 1 <= done < 20
    assert list(tree.statuses("0000").values()).count("synced") == done, "what was done is recorded"
    with running(library, watch=False) as api:
        gate.delay_s = 0.0
        assert job(api, waiting["id"])["state"] == "interrupted"
        rest = ended(api, sent(api, "POST", f"/api/jobs/{first['id']}/resume", 202))
        assert len(rest["outcomes"]) == 20 - done


def test_a_job_that_does_not_end_keeps_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callsheet.web.service._CLOSING_S", 0.3)
    gate = Gate()
    tree = Tree(tmp_path / "project", gate)
    tree.image(ANNA, "a.png", picture(1))
    with running(tree.library(), watch=False) as api:
        stuck = ask(api, verb="push", actors=[ANNA])
        wait_until(lambda: gate.waiting)
        jobs = api.service.jobs
    assert jobs.get(stuck["id"]).state == "interrupted"
    kept = tree.root / tree.where.job(stuck["id"])
    assert orjson.loads(kept.read_bytes())["state"] == "interrupted"
    other = Service(tree.library()).jobs
    with pytest.raises(TreeError, match="Another server works on this tree"):
        other.claim.take()
    gate.opened.set()
    wait_until(lambda: tree.statuses("0000") == {"a.png": "synced"})
    assert jobs.get(stuck["id"]).state == "interrupted", "it was told, and stays so"
    other.claim.take()
    other.close()


@contextmanager
def a_job_that_does_not_stop(tmp_path: Path, ministack_server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """A server process with a push to an S3 that takes an upload and never answers."""
    bucket = ministack_server.make_bucket(f"stuck-{os.urandom(6).hex()}")
    tree = Tree(tmp_path / "project")
    tree.image(ANNA, "a.png", picture(1))
    with fault_server(ministack_server.endpoint) as s3:
        s3.rule = lambda seen: Reply(stall_s=60.0) if seen.method == "PUT" else None
        env = {**ministack_server.env, "AWS_ENDPOINT_URL_S3": s3.endpoint, "CALLSHEET_BUCKET": bucket}
        with served(tree.root, env) as (process, api):
            asked = ask(api, verb="push")
            wait_until(lambda: any(seen.method == "PUT" for seen in s3.seen))
            yield process
    kept = orjson.loads((tree.root / tree.where.job(asked["id"])).read_bytes())
    assert kept["state"] == "interrupted"


def test_a_server_ends_in_time_whatever_its_jobs_do(tmp_path: Path, ministack_server: Server) -> None:
    with a_job_that_does_not_stop(tmp_path, ministack_server) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=20)[1]
        assert 9 < time.monotonic() - started < 14
    assert process.returncode == 130
    assert b"interrupted" in err


def test_a_second_ctrl_c_waits_for_no_job(tmp_path: Path, ministack_server: Server) -> None:
    with a_job_that_does_not_stop(tmp_path, ministack_server) as process:
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        assert time.monotonic() - started < 4
    assert process.returncode == 130


def test_one_server_works_on_a_tree(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "project")
    with running(tree.library(), watch=False):
        ran = run(tree.root, "serve", "--port", "0")
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith("callsheet: Another server works on this tree\n")
    with running(tree.library(), watch=False) as api:
        assert api.json("/api/jobs") == {"jobs": []}


def test_a_damaged_file_of_a_job_is_told_and_passed_over(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "project")
    path = tree.root / tree.where.job("20250101T000000.000Z-0000")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"id": "20250101')
    folder = tree.root / tree.where.job("20250101T000000.000Z-0001")
    folder.mkdir()
    with running(tree.library(), watch=False) as api:
        assert api.json("/api/jobs") == {"jobs": []}
        health = api.json("/healthz")
    assert health["status"] == "ok"
    assert path.name in health["notes"][0]
    assert folder.name in health["notes"][1]
    assert path.exists()
