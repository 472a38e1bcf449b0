"""What the pages are made of is served under the strict policy, kept by browsers, and holds no data that could be taken for markup."""

from __future__ import annotations

import re
from pathlib import Path

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


@pytest.mark.parametrize("path", ["/", f"/actors/{ANNA}", "/actors/nobody"])
def test_pages_have_the_policy_and_nothing_inline(unchanged: Api, path: str) -> None:
    answer = unchanged.get(path)
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
