"""Runs on the workers of a Dask cluster, two processes here: as on threads, byte for byte, also when a worker is killed in the middle."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster

from callsheet import locks
from callsheet.cluster import Cluster, connected
from callsheet.elsewhere import afar, reached
from callsheet.errors import ClusterError, UsageError, WorkerLost
from callsheet.layout import Layout
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.run import Run
from callsheet.settings import open_library
from command import interrupt, run
from factory import Tree
from kept import picture
from servers import REGION, Server
from twins import (
    BOTH,
    EDITED_HERE,
    EDITED_IN_S3,
    IN_S3,
    VERBS,
    as_told,
    open_twin,
    stand_still,
    state,
    unseen,
    write_original,
)

ACTORS = 24
LOOPBACK = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
NOBODY = "tcp://127.0.0.1:1"
_ATTEMPTS = 20


@dataclass(frozen=True)
class Workers:
    """Two worker processes with two threads each; one that is killed is replaced, by its nanny, or by us if that gives up: on a busy machine a
    worker may be killed while it is still starting."""

    cluster: LocalCluster
    client: Client

    @property
    def address(self) -> str:
        return str(self.cluster.scheduler_address)

    def pids(self) -> list[int]:
        with suppress(TimeoutError):
            self.client.wait_for_workers(2, timeout=15)
        if len(self.client.nthreads()) < 2:
            self.cluster.scale(len(self.cluster.worker_spec) + 1)
            self.client.wait_for_workers(2, timeout=30)
        for _ in range(_ATTEMPTS):
            with suppress(OSError):  # one was going just then
                return sorted(self.client.run(os.getpid).values())
            time.sleep(0.5)
        raise AssertionError("the workers keep going away")


@pytest.fixture(scope="module")
def workers(ministack_server: Server) -> Iterator[Workers]:
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),  # how long a worker that was killed is looked for
        _in_environment(patch, ministack_server.env),
        LocalCluster(n_workers=2, threads_per_worker=2, **LOOPBACK) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Workers(cluster, client)


@contextmanager
def _in_environment(patch: pytest.MonkeyPatch, env: dict[str, str]) -> Iterator[None]:
    for name, value in env.items():
        patch.setenv(name, value)
    yield


@pytest.fixture
def cluster(workers: Workers) -> Iterator[Cluster]:
    workers.pids()
    with connected(workers.address) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original") / "project"
    write_original(root, ACTORS)
    return root


@pytest.fixture
def twins(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two copies of it, at a moment that does not pass."""
    stand_still(monkeypatch)
    return shutil.copytree(original, tmp_path / "one"), shutil.copytree(original, tmp_path / "two")


@pytest.mark.parametrize("verb", VERBS)
def test_a_cluster_does_what_threads_do_byte_for_byte(verb: str, twins: tuple[Path, Path], cluster: Cluster) -> None:
    here, there = twins
    on_threads = VERBS[verb](open_twin(here), None, unseen)
    on_workers = VERBS[verb](open_twin(there), cluster, unseen)
    assert as_told(on_workers) == as_told(on_threads)
    assert state(there) == state(here)


def _killing(victim: int, seen: list[object]) -> Callable[[object], None]:
    """Kills a worker at the first progress; `seen` is all of it."""

    def kill(progress: object) -> None:
        if not seen:
            os.kill(victim, signal.SIGKILL)
        seen.append(progress)

    return kill


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "sync"])
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    verb: str, twins: tuple[Path, Path], cluster: Cluster, workers: Workers
) -> None:
    here, there = twins
    on_threads = VERBS[verb](open_twin(here), None, unseen)
    victim, *_ = workers.pids()
    seen: list[object] = []
    on_workers = VERBS[verb](open_twin(there), cluster, _killing(victim, seen))
    assert len(seen) > 1
    assert victim not in workers.pids()
    assert _but_for_migrations(as_told(on_workers)) == _but_for_migrations(as_told(on_threads))
    assert state(there) == state(here)


def _but_for_migrations(told: dict[str, Any]) -> dict[str, Any]:
    """What a worker had migrated when it was lost, nobody was told; who does its job anew finds it done."""
    rows = [{**row, "response_json_deleted": None} for row in told.get("by_actor", ())]
    return {**told, "response_json_deleted": None, "by_actor": rows}


def test_workers_find_s3_by_their_own_environment(
    cluster: Cluster, tmp_path: Path, ministack_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_server.make_bucket("on-a-cluster")
    root = tmp_path / "project"
    write_original(root, 4)
    library = open_library(root, remote="s3://on-a-cluster/images", environ={})
    here = "here.png"
    plan = library.plan("push", only=[here], executor=cluster)
    pushed = library.apply(plan, executor=cluster)
    assert {outcome.action.location for outcome in pushed.done} == {
        library.where.location(f"{number:04}_actor", here) for number in (0, 2, 3)
    }
    (root / library.where.image("0002_actor", here)).unlink()
    library.sync(["2"], executor=cluster)
    pulled = library.apply(library.plan("pull", ["2"], executor=cluster), executor=cluster)
    assert [outcome.action.filename for outcome in pulled.done] == [here]
    assert library.sync().manifests_updated == 0


def test_the_command_line_works_on_the_workers_and_tells_one_bar(
    original: Path, tmp_path: Path, workers: Workers
) -> None:
    workers.pids()
    root = shutil.copytree(original, tmp_path / "project")
    remote = f"file://{root}/buckets"
    synced = run(root, "--remote", remote, "sync", "--scheduler", workers.address, "--progress", "json", "--json")
    assert (synced.code, synced.document["local_only"]) == (1, ACTORS - 1)
    assert {told["actor"] for told in synced.problems} == {"0000_rival", "0001_actor"}
    bars = [json.loads(line) for line in synced.err.splitlines()]
    assert {bar["phase"] for bar in bars} == {"look"}
    assert bars[-1]["actors_done"] == bars[-1]["actors_total"] == ACTORS
    pushed = run(
        root, "--remote", remote, "push", "--json", "--progress", "json", env={"CALLSHEET_SCHEDULER": workers.address}
    )
    assert (pushed.document["done"], pushed.document["failed"]) == (ACTORS - 1, 0)
    moved = [bar for bar in map(json.loads, pushed.err.splitlines()) if bar["phase"] == "move"][-1]
    assert (moved["actions_done"], moved["bytes_done"]) == (ACTORS - 1, moved["bytes_total"])


def test_ctrl_c_ends_the_command_at_once_and_gives_up_what_waits(
    original: Path, tmp_path: Path, workers: Workers
) -> None:
    workers.pids()
    root = shutil.copytree(original, tmp_path / "project")
    where = Layout()
    crowd = [locks.locked(str(root / where.lock(f"{number:04}")), 1.0) for number in range(ACTORS)]
    with ExitStack() as held:
        for lock in crowd:
            held.enter_context(lock)
        arguments = ("--remote", f"file://{root}/buckets", "sync", "--scheduler", workers.address)
        busy = lambda: any(workers.client.processing().values())  # noqa: E731
        ended = interrupt(root, *arguments, env={}, when=busy)
    assert ended.code == 130
    assert ended.seconds < 5
    assert "the next run goes on from there" in ended.err
    assert not list((root / where.state_dir).glob("beacons/*"))
    stop_s = time.monotonic() + 20
    while any(workers.client.processing().values()):
        assert time.monotonic() < stop_s
        time.sleep(0.05)
    workers_done = open_twin(root).sync()
    assert {told.actor for told in workers_done.problems} == {"0000_rival", "0001_actor"}


def test_a_scheduler_that_is_none_or_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"'nonsense' is no scheduler's address"), connected("nonsense"):
        raise AssertionError("there is none")
    monkeypatch.setattr("callsheet.cluster._CONNECT_S", 1)
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:1 did not answer within 1 s"), connected(NOBODY):
        raise AssertionError("there is none")


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as told, connected(NOBODY):
        raise AssertionError("there is none")
    assert "pip install 'callsheet[dask]'" in told.value.sentence


def test_dask_is_imported_only_for_a_cluster(tmp_path: Path) -> None:
    write_original(tmp_path / "project", 1)
    code = (
        "import sys, callsheet; callsheet.open_library(sys.argv[1], remote=sys.argv[2]).sync();"
        "print(*{'dask', 'distributed'} & set(sys.modules))"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "project"), f"file://{tmp_path}/project/buckets"]
    assert not subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_a_cluster_without_workers_is_named() -> None:
    with LocalCluster(n_workers=0, processes=False, **LOOPBACK) as cluster:
        address = str(cluster.scheduler_address)
        with pytest.raises(ClusterError, match="has no workers") as told, connected(address):
            raise AssertionError("there are none")
        assert f"dask worker {address}" in told.value.hint
        with _without_callsheet(address):
            cluster.wait_for_workers(1, timeout=30)
            with pytest.raises(ClusterError, match=r"cannot load callsheet: .*No module named"), connected(address):
                raise AssertionError("there is none")


@contextmanager
def _without_callsheet(scheduler: str) -> Iterator[None]:
    """A worker in an environment that has dask, and no callsheet."""
    code = "import sys; sys.modules['callsheet'] = None; from distributed.cli.dask_worker import main; main()"
    argv = [sys.executable, "-c", code, scheduler, "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def test_workers_of_another_version_are_named(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.pids()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9")
    with pytest.raises(ClusterError, match=r"here it is Python [\d.]+, callsheet 9\.9"), connected(workers.address):
        raise AssertionError("they differ")


def test_workers_that_do_not_see_the_tree_touch_nothing(
    twins: tuple[Path, Path], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = twins
    before = state(root)
    monkeypatch.setattr(Run, "beacon", lambda _: nullcontext())
    with pytest.raises(ClusterError, match=f"does not see the tree at {root}"):
        open_twin(root).sync(executor=cluster)
    assert state(root) == before


def test_workers_that_would_ask_another_store_touch_nothing(
    twins: tuple[Path, Path], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = twins
    before = state(root)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    library = open_library(root, remote="s3://story-boards-assets/system_actors/training_data", environ={})
    with pytest.raises(
        ClusterError, match=r"find in S3 at http://127\.0\.0\.1:\d+/.* what is at http://127\.0\.0\.1:9/"
    ):
        library.sync(offline=True, executor=cluster)
    assert state(root) == before


# --- What is about S3 alone, and needs no tree on the workers -----------------------------------------------------------------------------


def _spoil(root: Path) -> None:
    """Of synced images, one object is gone, and one was replaced."""
    open_twin(root).sync()
    where = Layout()
    folder = root / "buckets" / where.bucket / where.prefix
    (folder / "0002_actor" / BOTH).unlink()
    (folder / "0003_actor" / BOTH).write_bytes(b"replaced")


def _checked(root: Path, executor: Cluster | None, seen: Callable[[object], None] = unseen) -> dict[str, Any]:
    told: dict[str, Any] = open_twin(root).fsck(read="s3", executor=executor, on_progress=seen).as_dict()
    return told


def test_workers_read_s3_and_find_what_threads_find(twins: tuple[Path, Path], cluster: Cluster) -> None:
    root, _ = twins
    _spoil(root)
    told = _checked(root, cluster)
    assert told == _checked(root, None)
    found = {(row["actor"], row["code"]) for row in (*told["problems"], *told["notes"]) if row["filename"] == BOTH}
    assert found == {("0002_actor", "object_gone"), ("0003_actor", "object_changed")}


def test_a_worker_that_is_killed_while_it_reads_changes_nothing(
    twins: tuple[Path, Path], cluster: Cluster, workers: Workers
) -> None:
    root, _ = twins
    _spoil(root)
    victim, *_ = workers.pids()
    told = _checked(root, cluster, _killing(victim, []))
    assert victim not in workers.pids()
    assert told == _checked(root, None)


def test_workers_are_told_nothing_of_the_tree_when_they_read_s3(
    tmp_path: Path, cluster: Cluster, ministack_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ministack_server.make_bucket("far-from-the-tree")
    tree = Tree(tmp_path / "a tree that no worker has")
    for number in range(40):
        tree.image(f"{number % 3:04}_actor", f"{number}.png", picture(str(number)))
    library = open_library(tree.root, remote="s3://far-from-the-tree/images", environ={})
    library.apply(library.plan("push"))
    sent: list[bytes] = []
    submit = cluster._workers.submit

    def noted(job: Callable[[bytes], object], message: bytes) -> Any:
        sent.append(message)
        return submit(job, message)

    monkeypatch.setattr(cluster._workers, "submit", noted)
    told = library.fsck(read="s3", executor=cluster)
    assert told.as_dict() == library.fsck(read="s3").as_dict()
    assert told.read_bytes == sum(len(picture(str(number))) for number in range(40))
    assert not told.problems
    assert sent
    assert not any(b"no worker has" in message for message in sent)


def test_objects_whose_workers_are_lost_are_told_as_not_checked(twins: tuple[Path, Path]) -> None:
    """What four workers would have to die for."""
    root, _ = twins
    open_twin(root).sync()

    class Deadly(Cluster):
        at_once = 2

        def __init__(self) -> None:
            pass

        def submit(self, job: object, /, *_: object, **__: object) -> Future[Any]:
            lost: Future[Any] = Future()
            lost.set_exception(WorkerLost("4 workers were lost", hint="Their logs say more."))
            return lost

    found = open_twin(root).fsck(["2"], read="s3", executor=Deadly()).problems
    assert {(one.code, one.filename, one.message) for one in found if one.code == "unchecked"} == {
        ("unchecked", name, "4 workers were lost") for name in (BOTH, EDITED_HERE, EDITED_IN_S3, IN_S3)
    }


def test_a_worker_begins_each_check_with_a_store_of_its_own(ministack_server: Server) -> None:
    """What a check has learnt of an outage is not for the next."""
    remote = S3Remote(REGION, endpoint_url=ministack_server.endpoint)
    first, again, next_one = (reached(afar(run_id, Layout(), remote)) for run_id in ("one", "one", "two"))
    assert first is again
    assert next_one is not first


def test_workers_that_would_read_another_store_read_nothing(
    twins: tuple[Path, Path], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = twins
    open_twin(root).sync()
    monkeypatch.setattr(DirectoryRemote, "url", lambda *_: "s3://elsewhere/a")
    with pytest.raises(ClusterError, match="what is at s3://elsewhere/a here"):
        open_twin(root).fsck(read="s3", executor=cluster)


def test_a_check_on_the_command_line_is_read_by_the_workers(twins: tuple[Path, Path], workers: Workers) -> None:
    workers.pids()
    root, _ = twins
    _spoil(root)
    remote = ("--remote", f"file://{root}/buckets")
    ran = run(root, *remote, "fsck", "--read", "s3", "--scheduler", workers.address, "--json")
    assert ran.document == run(root, *remote, "fsck", "--read", "s3", "--json").document
    refused = run(root, *remote, "fsck", "--read", "local", "--scheduler", workers.address)
    assert refused.code == 2
    assert "Add --read s3 or --read both" in refused.err
    everywhere = run(root, *remote, "fsck", "--json", env={"CALLSHEET_SCHEDULER": NOBODY})
    assert everywhere.code in (0, 1), "a setting for all commands is none of a check that reads nothing"


# --- A cluster that fails ---------------------------------------------------------------------------------------------------------------


def test_a_job_that_costs_its_workers_is_told_as_that(workers: Workers, cluster: Cluster) -> None:
    scheduler = workers.cluster.scheduler
    assert scheduler is not None
    scheduler.allowed_failures = 0
    try:
        with pytest.raises(WorkerLost, match="1 workers were lost"):
            cluster.submit(os._exit, 1).result(30)
    finally:
        scheduler.allowed_failures = 3


def test_nothing_goes_to_a_worker_that_is_not_meant_to(cluster: Cluster) -> None:
    here = threading.Lock()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        cluster.submit(lambda: 1)
    with pytest.raises(TypeError, match="cannot pickle"):
        cluster.submit(repr, here)


def test_a_scheduler_that_is_lost_ends_the_run_and_the_next_one_goes_on(twins: tuple[Path, Path]) -> None:
    here, there = twins
    seen: list[object] = []
    lost = LocalCluster(n_workers=1, processes=False, threads_per_worker=1, **LOOPBACK)
    with lost, connected(str(lost.scheduler_address)) as cluster:

        def lose(progress: object) -> None:
            if not seen:
                lost.close()
            seen.append(progress)

        with pytest.raises(ClusterError, match="was lost"):
            open_twin(there).sync(executor=cluster, on_progress=lose)
    open_twin(here).sync()
    open_twin(there).sync()
    assert state(there) == state(here)
