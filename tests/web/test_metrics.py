"""What the server tells of itself, for those who run it."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from api_server import Api, running
from asking import done, sent
from callsheet import __version__
from factory import Tree
from stage import ANNA, picture


def figures(api: Api) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of `/metrics`, by name and labels."""
    answer = api.get("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = text_string_to_metric_families(answer.data.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_figures_tell_the_tree_its_jobs_and_the_requests(tree: Tree) -> None:
    for number in range(3):
        tree.image(ANNA, f"{number}.png", picture(number))
    tree.library().sync()
    with running(tree.library(), watch=False) as api:
        done(api, verb="push")
        api.json("/api/actors")
        for path in ("/api/actors/0/training-data", "/api/actors/9/training-data", "/nowhere/1", "/nowhere/2"):
            api.get(path)
        found = figures(api)

        def value(name: str, **labels: str) -> float:
            return found[name, frozenset(labels.items())]

        assert value("callsheet_actors") == 1
        assert value("callsheet_images", status="synced") == 3
        assert value("callsheet_images", status="local_only") == 0
        assert value("callsheet_jobs", verb="push", state="done") == 1
        assert value("callsheet_items_total", op="upload", outcome="done") == 3
        assert value("callsheet_transferred_bytes_total", op="upload") == sum(len(picture(n)) for n in range(3))
        route = "/api/actors/{actor}/training-data"
        assert value("callsheet_request_seconds_count", method="GET", route=route, status="200") == 1
        assert value("callsheet_request_seconds_count", method="GET", route=route, status="404") == 1
        assert value("callsheet_request_seconds_count", method="GET", route="none", status="404") == 2


def test_no_request_makes_up_a_label(tree: Tree) -> None:
    with running(tree.library(), watch=False) as api:
        before = len(figures(api))
        for number in range(30):
            api.get(f"/api/jobs/{number}")
            api.get(f"/x{number}")
            api.send(f"M{number}", "/api/jobs", headers={"Content-Type": "application/json"})
        new = {labels for name, labels in figures(api) if name == "callsheet_request_seconds_count"}
        assert len(new) <= 6, new
        assert len(figures(api)) > before


def test_a_server_is_well(tree: Tree) -> None:
    with running(tree.library(), watch=False) as api:
        assert sent(api, "GET", "/healthz", 200) == {
            "status": "ok",
            "version": __version__,
            "watching": False,
            "notes": [],
        }


def test_two_servers_in_one_process_count_apart(tmp_path: Path) -> None:
    trees = [Tree(tmp_path / name) for name in ("one", "two")]
    with running(trees[0].library(), watch=False) as first, running(trees[1].library(), watch=False) as second:
        first.json("/api/actors")
        labels = frozenset({("method", "GET"), ("route", "/api/actors"), ("status", "200")})
        assert figures(first)["callsheet_request_seconds_count", labels] == 1
        assert ("callsheet_request_seconds_count", labels) not in figures(second)
