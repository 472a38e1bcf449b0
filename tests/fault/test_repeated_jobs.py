"""A job on a cluster may be run again, from any point, after its worker was lost: what it had done is found, and nothing is lost or told twice."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from callsheet import codec, download, drafts, files, folders
from callsheet.action import Action, Op, Outcome, Step, Version
from callsheet.cluster import Cluster
from callsheet.errors import ClusterError, LocalError, LossRefused, UsageError, WorkerLost
from callsheet.model import Location, Problem
from callsheet.remote.directory import DirectoryRemote
from kept import picture
from twins import EDITED_IN_S3, IN_S3, VERBS, as_told, open_twin, stand_still, state, unseen, write_original

FINISHED = "finished"
POINTS: dict[str, tuple[object, str]] = {
    "before the manifest is in its place": (codec, "learnt"),
    "before response.json goes": (files, "move"),
    "before the file has its name": (drafts, "publish"),
    "before the object is replaced": (DirectoryRemote, "put"),
    "before the old file is put away": (download, "take"),
}


class _Killed(BaseException):
    """The end of a worker."""


class Repeating(Cluster):
    """Runs each job twice, as a worker would, and tells what the second run came to; the first may be killed before `point`."""

    def __init__(self, kill: Callable[[pytest.MonkeyPatch], None]) -> None:
        self._kill = kill

    @property
    def at_once(self) -> int:
        return 2

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        message = pickle.dumps((job, args, kwargs))
        with pytest.MonkeyPatch.context() as patch:
            self._kill(patch)
            with suppress(_Killed):
                _do(message)
        told: Future[Any] = Future()
        told.set_result(pickle.loads(pickle.dumps(_do(message))))
        return told


def _do(message: bytes) -> object:
    job, args, kwargs = pickle.loads(message)
    return job(*args, **kwargs)


def _killing(point: str) -> Callable[[pytest.MonkeyPatch], None]:
    def kill(*_: object, **__: object) -> None:
        raise _Killed

    return lambda patch: None if point == FINISHED else patch.setattr(*POINTS[point], kill)


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    write_original(tmp_path / "one", 3)
    stand_still(monkeypatch)
    return tmp_path / "one", shutil.copytree(tmp_path / "one", tmp_path / "two")


@pytest.mark.parametrize("point", [FINISHED, *POINTS])
@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_run_again_comes_to_what_one_run_comes_to(
    verb: str, point: str, twins: tuple[Path, Path]
) -> None:
    once, again = twins
    expected = VERBS[verb](open_twin(once), None, unseen)
    repeated = VERBS[verb](open_twin(again), Repeating(_killing(point)), unseen)
    assert as_told(repeated) == as_told(expected)
    assert state(again) == state(once)


@pytest.mark.parametrize(
    ("verb", "filename", "content", "as_if_fetched"),
    [
        ("pull", IN_S3, b"mine", True),
        ("pull", IN_S3, picture("0000_actor in S3"), False),
        ("repair", EDITED_IN_S3, picture("0000_actor remade"), True),
    ],
    ids=["other bytes", "the same bytes", "in place of the old ones"],
)
def test_what_somebody_else_did_meanwhile_is_told_as_on_threads(
    twins: tuple[Path, Path], verb: str, filename: str, content: bytes, as_if_fetched: bool
) -> None:
    told = []
    for root, executor in zip(twins, (None, Repeating(_killing(FINISHED))), strict=True):
        library = open_twin(root)
        plan = library.plan(verb, ["0000_actor"], only=[filename])
        place = root / library.where.image("0000_actor", filename)
        place.write_bytes(content)
        fetched_s = library.remote.head(library.where.location("0000_actor", filename)).last_modified.timestamp()
        mtime_s = fetched_s if as_if_fetched else fetched_s + 5
        os.utime(place, (mtime_s, mtime_s))
        result = library.apply(plan, executor=executor)
        told.append([(problem.filename, problem.code) for problem in result.report.problems])
        assert place.read_bytes() == content
    assert told[0] == told[1]
    assert [name for name, _ in told[1]] == [filename]


class Losing(Cluster):
    """Loses every worker that is given a job with `poison` in it; jobs are of several actors or images."""

    def __init__(self, poison: str) -> None:
        self._poison = poison.encode()
        self.jobs = 0

    @property
    def at_once(self) -> int:
        return 1

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs += 1
        message = pickle.dumps((job, args, kwargs))
        told: Future[Any] = Future()
        if self._poison in message:
            told.set_exception(WorkerLost("4 workers were lost", hint="Look at their logs."))
        else:
            told.set_result(_do(message))
        return told


@pytest.mark.parametrize("verb", VERBS)
def test_an_actor_that_costs_every_worker_is_named_and_the_others_are_done(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "one"
    write_original(root, 20)
    stand_still(monkeypatch)
    cluster = Losing("0013_actor")
    report = as_told(VERBS[verb](open_twin(root), cluster, unseen))
    assert cluster.jobs < 40
    lost = {(told["actor"], told["message"]) for told in report["problems"] if told["code"] == WorkerLost.code}
    assert lost == {("0013_actor", "4 workers were lost. Look at their logs.")}
    assert [row["actor_name"] for row in report["by_actor"]] == [
        f"{number:04}_actor" for number in range(20) if number not in (1, 13)
    ]


def test_what_a_second_attempt_could_not_tell_from_the_first_is_refused_before_anything_is_done(
    twins: tuple[Path, Path],
) -> None:
    root, _ = twins
    library = open_twin(root)
    plan = library.plan("rm", ["0002"])
    before = state(root)
    with pytest.raises(UsageError, match=r"A cluster does not do this: trash_local, trash_s3"):
        library.apply(plan, executor=Repeating(_killing(FINISHED)))
    assert state(root) == before


def test_a_worker_that_fails_late_may_have_done_it() -> None:
    action = Action(Op.UPLOAD, "0000_actor", "a.png", Location("bucket", "a.png"), Version(1, "0" * 32))
    assert Step(action, Outcome(action, Problem("0000_actor", "a.png", WorkerLost.code, "lost"))).lost


def test_mass_disappearance_is_refused_and_accepted_as_on_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_original(tmp_path / "one", 8)
    for image in (tmp_path / "one").glob("data/actors/*/training_data/*.png"):
        image.unlink()
    roots = tmp_path / "one", shutil.copytree(tmp_path / "one", tmp_path / "two")
    stand_still(monkeypatch)
    said = []
    for root, executor in zip(roots, (None, Repeating(_killing(FINISHED))), strict=True):
        library = open_twin(root)
        with pytest.raises(LossRefused) as refused:
            library.sync(executor=executor)
        accepted = library.sync(accept_loss=True, executor=executor)
        said.append((str(refused.value).replace(str(root), ""), refused.value.problems, as_told(accepted), state(root)))
    assert said[0] == said[1]


def test_a_download_that_may_not_survive_a_crash_is_told(
    twins: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = open_twin(twins[0])
    plan = library.plan("pull", ["0000_actor", "0002_actor"])

    def refuse(paths: Iterable[str]) -> dict[str, LocalError]:
        return {path: LocalError("Cannot flush it", hint="Check the disk") for path in paths if "0002_actor" in path}

    monkeypatch.setattr(folders, "flush", refuse)
    result = library.apply(plan, executor=Repeating(_killing(FINISHED)))
    assert [(outcome.action.actor, outcome.problem is None) for outcome in result.outcomes] == [
        ("0000_actor", True),
        ("0002_actor", False),
    ]


class Broken(Repeating):
    """Does what it is asked, and is lost before it can tell of the third image."""

    def __init__(self) -> None:
        super().__init__(_killing(FINISHED))
        self._jobs = 0

    def submit(self, job: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._jobs += 1
        told = super().submit(job, *args, **kwargs)
        if self._jobs < 3:
            return told
        lost: Future[Any] = Future()
        lost.set_exception(ClusterError("The scheduler was lost"))
        return lost


def test_a_push_whose_cluster_was_lost_can_be_taken_back(tmp_path: Path) -> None:
    write_original(tmp_path, 8)
    library = open_twin(tmp_path)
    plan = library.plan("push")

    def objects() -> set[str]:
        return {str(item.location) for item in library.remote.list(library.where.bucket, library.where.key_prefix())}

    before = objects()
    with pytest.raises(ClusterError):
        library.apply(plan, executor=Broken())
    assert len(objects()) > len(before) + 2
    library.sync()
    assert not [told for told in library.apply(library.plan_undo()).report.problems if told.filename]
    assert {key for key in objects() if "/.trash/" not in key} == before
    assert not list(tmp_path.glob("data/.callsheet/beacons/*"))
