"""Runs on the workers of a Dask cluster, two processes here: as on threads, byte for byte, also when a worker is killed in the middle."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from callsheet.cluster import Cluster, connected
from twins import VERBS, as_told, open_twin, stand_still, state, unseen, write_original


@dataclass(frozen=True)
class Workers:
    """Two worker processes with two threads each; one that is killed is replaced."""

    cluster: LocalCluster
    client: Client

    @property
    def address(self) -> str:
        return str(self.cluster.scheduler_address)

    def pids(self) -> list[int]:
        self.client.wait_for_workers(2, timeout=30)
        return sorted(self.client.run(os.getpid).values())


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None, host="127.0.0.1") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield Workers(cluster, client)


@pytest.fixture
def cluster(workers: Workers) -> Iterator[Cluster]:
    workers.pids()
    with connected(workers.address) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original") / "project"
    write_original(root, 40)
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


@pytest.mark.parametrize("verb", VERBS)
def test_a_worker_that_is_killed_in_the_middle_changes_nothing(
    verb: str, twins: tuple[Path, Path], cluster: Cluster, workers: Workers
) -> None:
    here, there = twins
    on_threads = VERBS[verb](open_twin(here), None, unseen)
    victim, _ = workers.pids()
    seen: list[object] = []

    def kill(progress: object) -> None:
        if not seen:
            os.kill(victim, signal.SIGKILL)
        seen.append(progress)

    on_workers = VERBS[verb](open_twin(there), cluster, kill)
    assert len(seen) > 1
    assert victim not in workers.pids()
    assert as_told(on_workers) == as_told(on_threads)
    assert state(there) == state(here)
