"""What the pages are made of is served under the strict policy, kept by browsers, and holds no data that could be taken for markup."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest

import callsheet
from api_server import Api
from screen import ANNA

STATIC = Path(callsheet.__file__).parent / "web" / "static"
TEMPLATES = STATIC.parent / "templates"


def test_a_number_leads_to_the_page_of_the_name(unchanged: Api) -> None:
    answer = unchanged.get("/actors/0?status=synced")
    assert answer.status == 307
    assert answer.headers["location"] == f"/actors/{ANNA}?status=synced"


def test_an_actors_url_without_the_actor_leads_to_the_list(unchanged: Api) -> None:
    answer = unchanged.get("/actors")
    assert (answer.status, answer.headers["location"]) == (307, "/")


@pytest.mark.parametrize("path", ["/nowhere", "/actors/0000_anna/more"])
def test_a_page_that_there_is_not_is_a_page_for_browsers_only(unchanged: Api, path: str) -> None:
    shown = unchanged.get(path, accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert (shown.status, shown.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is no such page" in shown.data.decode()
    assert orjson.loads(unchanged.get(path).data)["error"] == "not_found"


@pytest.mark.parametrize("path", ["/api/nowhere", "/data/nowhere", "/static/0/nothing.js"])
def test_what_is_no_page_answers_browsers_as_it_does_programs(unchanged: Api, path: str) -> None:
    answer = unchanged.get(path, accept="text/html")
    assert (answer.status, orjson.loads(answer.data)["error"]) == (404, "not_found")


def test_a_page_says_what_a_page_can_do(unchanged: Api) -> None:
    html = unchanged.get("/actors/nobody", accept="text/html").data.decode()
    assert "callsheet status" not in html
    assert "Sync all" in html


@pytest.mark.parametrize("path", ["/", f"/actors/{ANNA}", "/actors/nobody", "/nowhere"])
def test_pages_have_the_policy_and_nothing_inline(unchanged: Api, path: str) -> None:
    answer = unchanged.get(path, accept="text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    html = answer.data.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", html)
    assert re.findall(r"<script(?![^>]* src=)([^>]*)>", html) == [' id="words" type="application/json"']


def test_what_a_version_names_is_kept_for_ever(unchanged: Api) -> None:
    html = unchanged.get("/").data.decode()
    paths = set(re.findall(r'"(/static/[^"]+)"', html))
    assert len(paths) > 10
    for path in paths:
        answer = unchanged.get(path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable"), path
    old = unchanged.get("/static/0123/actors.js")
    assert (old.status, old.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fpages.py", "%00"])
def test_nothing_else_is_served(unchanged: Api, name: str) -> None:
    assert unchanged.get(f"/static/0/{name}").status == 404


@pytest.mark.parametrize("script", sorted(path.name for path in STATIC.glob("*.js")))
def test_scripts_are_small_modules_that_set_data_as_text(script: str) -> None:
    source = (STATIC / script).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", source)
    assert "http" not in source.replace('"http"', "").replace("http://www.w3.org/2000/svg", "")


def test_templates_say_nothing_without_escaping() -> None:
    for template in TEMPLATES.glob("*.html"):
        assert not re.search(r"\|\s*safe|autoescape", template.read_text(encoding="utf-8")), template.name
