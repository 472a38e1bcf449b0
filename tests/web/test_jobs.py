"""Jobs: what they are asked for is done once, in turn, and told; what stops a server loses none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api_server import Api, running
from asking import ask, done, ended, job, listening, sent, wait_until
from callsheet.action import Plan
from callsheet.errors import TreeError
from callsheet.library import Library
from callsheet.result import Proposal, Transfer
from callsheet.run import Stop, new_run_id
from callsheet.settings import open_library
from callsheet.web.jobstore import JobStore, Wanted
from factory import Tree
from gate import Gate
from stage import ANNA, BERT, picture

NAMES = ("a.png", "b.png", "c.png")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def tree(tmp_path: Path, gate: Gate) -> Tree:
    """Three images of Anna and one of Bert, all of them only here, and recorded."""
    tree = Tree(tmp_path / "project", gate)
    for seed, name in enumerate(NAMES):
        tree.image(ANNA, name, picture(seed))
    tree.image(BERT, "bert.png", picture(9))
    tree.library().sync()
    return tree


@pytest.fixture
def api(tree: Tree) -> Iterator[Api]:
    """Its images are moved one after the other."""
    library = open_library(tree.root, remote=tree.remote, environ={"CALLSHEET_TRANSFERS": "1"})
    with running(library, watch=False) as api:
        yield api


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a run has heard that it is to stop."""
    heard = threading.Event()
    apply = Library.apply

    def listening(library: Library, plan: Plan | Proposal, *, stop: Stop, **options: Any) -> Transfer:
        def asked() -> bool:
            if said := stop():
                heard.set()
            return said

        return apply(library, plan, stop=asked, **options)

    monkeypatch.setattr(Library, "apply", listening)
    return heard


def open_gate(api: Api) -> None:
    gate = api.service.library.remote
    assert isinstance(gate, Gate)
    gate.opened.set()


def test_a_push_is_told_from_beginning_to_end_and_can_be_taken_back(api: Api, tree: Tree) -> None:
    open_gate(api)
    with listening(api) as heard:
        asked = ask(api, verb="push", actors=["0"])
        assert (asked["state"], asked["actors"]) == ("queued", [ANNA])
        told = [heard.next("job")]
        while told[-1]["state"] != "done":
            told.append(heard.next("job"))
    assert [event["state"] for event in told if event["state"] != "running"] == ["queued", "done"]
    assert {event["phase"] for event in told} == {None, "looking", "moving"}
    assert all("plan" not in event and "outcomes" not in event for event in told)
    whole = job(api, asked["id"])
    assert whole == {**told[-1], "plan": None, "outcomes": whole["outcomes"], "outcome_count": 3}
    assert sorted(row["filename"] for row in whole["outcomes"]) == sorted(NAMES)
    assert (whole["summary"]["done"], whole["summary"]["synced"], whole["moved"]["actions_done"]) == (3, 3, 3)
    assert set(tree.statuses("0000").values()) == {"synced"}
    undone = done(api, verb="undo", run=whole["run"])
    assert undone["run_to_undo"] == whole["run"]
    assert set(tree.statuses("0000").values()) == {"local_only"}


def test_a_dry_run_shows_a_plan_and_exactly_that_is_carried_out(api: Api, tree: Tree) -> None:
    open_gate(api)
    shown = done(api, verb="push", actors=[ANNA], dry_run=True)
    assert [action["filename"] for action in shown["plan"]["actions"]] == list(NAMES)
    assert (shown["run"], shown["summary"]["planned"], shown["summary"]["dry_run"]) == ("", 3, True)
    tree.image(ANNA, "later.png", picture(50))
    tree.image(ANNA, "b.png", picture(51))
    carried = done(api, plan_of=shown["id"])
    assert (carried["verb"], carried["plan_of"], carried["actors"]) == ("push", shown["id"], [ANNA])
    assert [row["filename"] for row in carried["outcomes"] if row["outcome"] == "done"] == ["a.png", "c.png"]
    assert [problem["filename"] for problem in carried["problems"]] == ["b.png"], "it is not the file that was shown"
    assert carried["problem_count"] == 1


def test_a_plan_is_carried_out_only_if_there_is_one(api: Api) -> None:
    open_gate(api)
    looked = done(api, verb="sync", dry_run=True)
    pushed = done(api, verb="push")
    for job_id in (looked["id"], pushed["id"]):
        assert ask(api, plan_of=job_id, status=409)["error"] == "no_plan"
    assert ask(api, plan_of="20250101T000000.000Z-0000", status=404)["error"] == "unknown_job"
    shown = done(api, verb="push", dry_run=True)
    assert ask(api, plan_of=shown["id"], good=True, status=400)["error"] == "usage"


def test_nobody_waits_for_anothers_plan_to_be_written(api: Api, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    open_gate(api)
    shown = done(api, verb="push", actors=[ANNA], dry_run=True)
    slow = threading.Event()
    save_plan = JobStore.save_plan

    def saved(store: JobStore, job_id: str, plan: Plan) -> None:
        assert slow.wait(20)
        save_plan(store, job_id, plan)

    monkeypatch.setattr(JobStore, "save_plan", saved)
    asking = threading.Thread(target=ask, args=(api,), kwargs={"plan_of": shown["id"]})
    asking.start()
    done(api, verb="verify", actors=[ANNA])
    slow.set()
    asking.join()
    wait_until(lambda: set(tree.statuses("0000").values()) == {"synced"})


@pytest.mark.parametrize(
    ("wanted", "status", "code"),
    [
        ({}, 400, "usage"),
        ({"verb": "rm"}, 400, "usage"),
        ({"verb": "push", "prefer": "s3"}, 400, "usage"),
        ({"verb": "push", "run": "20250101T000000.000Z-0000"}, 400, "usage"),
        ({"verb": "undo", "actors": ["0"]}, 400, "usage"),
        ({"verb": "sync", "filenames": ["a.png"]}, 400, "usage"),
        ({"verb": "verify", "good": True}, 400, "usage"),
        ({"verb": "undo"}, 404, "unknown_run"),
        ({"verb": "undo", "run": "20250101T000000.000Z-0000"}, 404, "unknown_run"),
        ({"verb": "undo", "run": "../../etc/passwd"}, 400, "plan"),
        ({"verb": "push", "actors": ["9"]}, 404, "unknown_actor"),
        ({"verb": "burn"}, 422, "validation"),
        ({"verb": "push", "prefer": "both"}, 422, "validation"),
        ({"verb": "push", "actors": "0"}, 422, "validation"),
        ({"verb": "push", "dryrun": True}, 422, "validation"),
    ],
)
def test_what_makes_no_sense_is_told_at_once(api: Api, wanted: dict[str, Any], status: int, code: str) -> None:
    told = ask(api, status=status, **wanted)
    assert told["error"] == code
    assert told["message"]
    assert api.json("/api/jobs") == {"jobs": []}


def test_what_only_a_look_can_tell_makes_the_job_fail(api: Api) -> None:
    failed = ended(api, ask(api, verb="push", actors=[ANNA], filenames=["nowhere.png"]))
    assert (failed["state"], failed["error"]["error"]) == ("failed", "unknown_image")


def test_an_undo_is_of_what_was_last_when_it_was_asked_for(api: Api, tree: Tree) -> None:
    open_gate(api)
    pushed = done(api, verb="push", actors=[ANNA])
    turns = api.service.jobs.turns
    kept = turns.join(frozenset((BERT,)))
    other = ask(api, verb="push", actors=[BERT])
    undo = ask(api, verb="undo")
    assert undo["run_to_undo"] == pushed["run"]
    assert ended(api, undo)["state"] == "done", "it waits for nothing that is about others"
    assert job(api, other["id"])["state"] == "queued"
    assert set(tree.statuses("0000").values()) == {"local_only"}
    turns.leave(kept)
    assert ended(api, other)["state"] == "done"
    assert ask(api, verb="undo")["run_to_undo"] == job(api, other["id"])["run"]


def test_an_undo_passes_over_a_run_that_was_killed_before_it_did_anything(api: Api, tree: Tree) -> None:
    open_gate(api)
    pushed = done(api, verb="push", actors=[ANNA])
    library = tree.library()
    plan = library.plan("push", [BERT], dry_run=True).plan
    now = datetime.now(UTC)
    with library.journal.begin(new_run_id(now), plan, now):
        assert ask(api, verb="undo", status=409)["error"] == "under_way"
    undone = done(api, verb="undo")
    assert undone["run_to_undo"] == pushed["run"]
    assert set(tree.statuses("0000").values()) == {"local_only"}


def test_a_refused_loss_is_why_a_job_fails(api: Api, tree: Tree) -> None:
    paths = [tree.image("0002_carl", f"{number}.png", picture(number)) for number in range(30)]
    tree.library().sync()
    for path in paths:
        path.unlink()
    before = tree.manifests()
    failed = ended(api, ask(api, verb="sync"))
    assert (failed["state"], failed["error"]["error"]) == ("failed", "mass_loss")
    assert tree.manifests() == before


def test_jobs_about_one_actor_wait_and_others_run_side_by_side(api: Api, gate: Gate) -> None:
    first = ask(api, verb="push", actors=[ANNA])
    second = ask(api, verb="verify", actors=[ANNA])
    everyone = ask(api, verb="sync")
    wait_until(lambda: gate.waiting)
    late = ask(api, verb="sync", actors=[BERT])
    states = [job(api, asked["id"])["state"] for asked in (first, second, everyone, late)]
    assert states == ["running", "queued", "queued", "queued"], "Bert's waits for the one of all that came before it"
    sent(api, "DELETE", f"/api/jobs/{everyone['id']}", 202)
    assert ended(api, late)["state"] == "done"
    assert job(api, second["id"])["state"] == "queued"
    gate.opened.set()
    assert ended(api, second)["state"] == "done"
    times = [job(api, asked["id"]) for asked in (first, second)]
    assert times[0]["ended_at"] <= times[1]["started_at"]
    assert job(api, everyone["id"])["state"] == "cancelled"
    assert job(api, everyone["id"])["started_at"] is None


def test_a_job_that_waits_or_runs_is_cancelled_and_gone_on_with(
    api: Api, gate: Gate, tree: Tree, stopping: threading.Event
) -> None:
    first = ask(api, verb="push", actors=[ANNA])
    second = ask(api, verb="push", actors=[ANNA])
    wait_until(lambda: gate.waiting)
    assert sent(api, "DELETE", f"/api/jobs/{second['id']}", 202)["state"] == "cancelled"
    assert sent(api, "DELETE", f"/api/jobs/{first['id']}", 202)["state"] == "running"
    assert stopping.wait(20)
    gate.opened.set()
    cancelled = ended(api, first)
    assert cancelled["state"] == "cancelled"
    assert [row["filename"] for row in cancelled["outcomes"]] == ["a.png"], "what was under way is finished and told"
    assert tree.statuses("0000") == {"a.png": "synced", "b.png": "local_only", "c.png": "local_only"}
    assert sent(api, "DELETE", f"/api/jobs/{first['id']}", 409)["error"] == "job_ended"
    key = {"Idempotency-Key": "resumed"}
    resumed, again = (api.send("POST", f"/api/jobs/{first['id']}/resume", headers=key) for _ in range(2))
    assert (resumed.status, again.status, again.json()["id"]) == (202, 200, resumed.json()["id"])
    assert api.send("POST", f"/api/jobs/{second['id']}/resume", headers=key).json()["error"] == "key_reused"
    resumed = resumed.json()
    assert [row["filename"] for row in ended(api, resumed)["outcomes"]] == ["b.png", "c.png"]
    assert sent(api, "POST", f"/api/jobs/{resumed['id']}/resume", 409)["error"] == "not_resumable"
    assert sent(api, "DELETE", "/api/jobs/nothing", 404)["error"] == "unknown_job"


def test_a_plan_that_was_cancelled_is_gone_on_with_as_it_was_shown(
    api: Api, gate: Gate, tree: Tree, stopping: threading.Event
) -> None:
    shown = done(api, verb="push", actors=[ANNA], dry_run=True)
    carried = ask(api, plan_of=shown["id"])
    wait_until(lambda: gate.waiting)
    sent(api, "DELETE", f"/api/jobs/{carried['id']}", 202)
    assert stopping.wait(20)
    gate.opened.set()
    assert ended(api, carried)["state"] == "cancelled"
    tree.image(ANNA, "later.png", picture(50))
    rest = ended(api, sent(api, "POST", f"/api/jobs/{carried['id']}/resume", 202))
    assert (rest["state"], rest["problems"]) == ("done", [])
    assert [row["filename"] for row in rest["outcomes"]] == ["b.png", "c.png"]


def test_a_request_that_is_sent_twice_makes_one_job(tree: Tree, gate: Gate) -> None:
    gate.opened.set()
    key = {"Idempotency-Key": "once"}
    with running(tree.library(), watch=False) as api:
        asked: list[str] = []

        def send() -> None:
            answer = api.send("POST", "/api/jobs", body={"verb": "push", "actors": ["0"]}, headers=key)
            asked.append(f"{answer.status} {answer.json()['id']}")

        threads = [threading.Thread(target=send) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({answer.split()[1] for answer in asked}) == 1
        assert sorted(answer.split()[0] for answer in asked) == ["200"] * 11 + ["202"]
        first = ended(api, {"id": asked[0].split()[1]})
        assert ask(api, verb="push", actors=["1"], headers=key, status=422)["error"] == "key_reused"
    with running(tree.library(), watch=False) as api:
        assert ask(api, verb="push", actors=["0"], headers=key, status=200)["id"] == first["id"]
        assert ask(api, verb="pull", actors=["0"], headers=key, status=422)["error"] == "key_reused"


def test_progress_is_told_a_few_times_a_second(api: Api, gate: Gate, tree: Tree) -> None:
    for number in range(100):
        tree.image(BERT, f"{number:03}.png", picture(number))
    gate.delay_s = 0.02
    gate.opened.set()
    with listening(api) as heard:
        started = time.monotonic()
        done(api, verb="push", actors=[BERT])
        seconds = time.monotonic() - started
        told = [data for kind, data in heard.all() if kind == "job"]
    assert seconds > 1, "long enough to be told of"
    assert 5 <= len(told) <= 5 * seconds + 6
    moved = [data["moved"]["actions_done"] for data in told if data["moved"]]
    assert moved == sorted(moved)
    assert 0 < moved[0] < moved[-1] == 101


def test_too_many_that_wait_are_refused(api: Api, gate: Gate) -> None:
    ask(api, verb="push", actors=[ANNA])
    wait_until(lambda: gate.waiting)
    for _ in range(100):
        ask(api, verb="sync", actors=[ANNA])
    told = ask(api, verb="sync", actors=[ANNA], status=429)
    assert told["error"] == "busy"
    assert len(api.json("/api/jobs?state=queued&limit=500")["jobs"]) == 100
    for waiting in api.json("/api/jobs?state=queued&limit=500")["jobs"]:
        sent(api, "DELETE", f"/api/jobs/{waiting['id']}", 202)
    gate.opened.set()


def test_many_problems_are_all_there_and_few_in_lists(tree: Tree, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.opened.set()
    names = [f"{number:03}.png" for number in range(150)]
    for name in names:
        tree.object(ANNA, name, b"x" + name.encode())
    tree.library().sync()
    with running(tree.library(), watch=False) as api:
        shown = done(api, verb="pull", actors=[ANNA], dry_run=True)
        for name in names:
            tree.object(ANNA, name, b"y" + name.encode())
        pulled = done(api, plan_of=shown["id"])
        assert len(pulled["problems"]) == pulled["problem_count"] == 150
        listed = api.json("/api/jobs")["jobs"][0]
        assert (len(listed["problems"]), listed["problem_count"]) == (100, 150)
        part = api.json(f"/api/jobs/{pulled['id']}?outcomes_from=140")
        assert (len(part["outcomes"]), part["outcome_count"]) == (10, 150)
        assert part["outcomes"] == pulled["outcomes"][140:]
        library = api.service.library
        apply = library.apply

        def failing(*arguments: Any, **options: Any) -> None:
            apply(*arguments, **options)
            raise TreeError("The disk is away")

        monkeypatch.setattr(library, "apply", failing)
        failed = ended(api, ask(api, plan_of=shown["id"]))
        assert failed["error"]["message"] == "The disk is away"
        assert len(failed["problems"]) == failed["problem_count"] == 150, "also of a job that failed after them"


def test_many_names_are_all_there_and_few_in_lists_and_events(tree: Tree, gate: Gate) -> None:
    gate.opened.set()
    names = [f"{number:05}.png" for number in range(5000)]
    with running(tree.library(), watch=False) as api, listening(api) as heard:
        asked = ask(api, verb="push", actors=[ANNA], filenames=[*NAMES, *names], dry_run=True)
        whole = ended(api, asked)
        told = heard.next("job")
        listed = api.json("/api/jobs")["jobs"][0]
    assert whole["filenames"] == [*NAMES, *names]
    for short in (asked, told, listed):
        assert short["filenames"] == whole["filenames"][:100]
        assert (short["filename_count"], short["actors"], short["actor_count"]) == (5003, [ANNA], 1)


def test_the_newest_come_first_and_the_oldest_that_have_ended_are_forgotten(api: Api, tree: Tree) -> None:
    ids = [done(api, verb="push", actors=[BERT], dry_run=True)["id"] for _ in range(3)]
    assert [row["id"] for row in api.json("/api/jobs?limit=2")["jobs"]] == ids[:0:-1]
    kept = tree.root / tree.where.jobs_dir
    jobs = api.service.jobs
    for _ in range(30):
        jobs.submit(Wanted("sync"), polled=True)
        wait_until(lambda: jobs.all()[0].ended)
    assert sum(job.polled for job in jobs.all()) <= 11
    assert jobs.get(ids[0])
    for _ in range(200):
        jobs.submit(Wanted("sync", (BERT,)))
        wait_until(lambda: jobs.all()[0].ended)
    assert len(list(kept.glob("*.json"))) <= 211
    assert sum(job.polled for job in jobs.all()) == 10
    assert sent(api, "GET", f"/api/jobs/{ids[0]}", 404)["error"] == "unknown_job"
    assert not list(kept.rglob(f"{ids[0]}*"))
