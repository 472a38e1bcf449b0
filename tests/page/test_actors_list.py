"""The list of actors: searched, filtered and sorted, whatever their number; its buttons show a plan first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from api_server import Api, running
from factory import Tree
from screen import ANNA, BERT, CARL, Ground, Screen, on_screen

MANY = 3000


def _names(screen: Screen) -> list[str]:
    return screen.find(".actor:not(.waiting) .name").all_inner_texts()


def test_every_actor_is_listed_with_its_counts_and_its_face(look: Screen) -> None:
    look.open("/")
    assert _names(look) == [ANNA, BERT, CARL]
    anna = look.find(".actor").first
    assert anna.locator(".total").inner_text() == "14 images"
    assert anna.locator(".stack").get_attribute("aria-label") == "6 Synced, 3 Local-only, 2 S3-only, 3 Out-of-sync"
    parts = anna.locator(".stack span").evaluate_all(
        "(parts) => parts.map((part) => part.getBoundingClientRect().width)"
    )
    assert parts[0] == pytest.approx(2 * parts[1], rel=0.05)
    look.wait("document.querySelector('.actor img').naturalWidth > 0")
    assert anna.locator("time").get_attribute("title")


def test_totals_are_on_top_and_filter(look: Screen) -> None:
    look.open("/")
    assert look.counts() == {
        "synced": 6,
        "local_only": 6,
        "s3_only": 3,
        "out_of_sync": 3,
        "missing": 1,
        "problems": look.counts()["problems"],
    }
    look.find("[data-filter=s3_only]").click()
    look.wait("document.querySelectorAll('.actor').length === 2")
    assert _names(look) == [ANNA, CARL]
    assert look.query == "?status=s3_only"
    look.page.go_back()
    look.wait("document.querySelectorAll('.actor').length === 3")


def test_search_and_sort_are_kept_in_the_url(look: Screen) -> None:
    look.open("/?sort=-total")
    assert _names(look)[0] == ANNA
    look.press("/")
    look.page.keyboard.type("BERT")
    look.wait("document.querySelectorAll('.actor').length === 1")
    assert look.query == "?q=BERT&sort=-total"
    look.page.reload()
    look.page.wait_for_selector(".actor")
    assert _names(look) == [BERT]
    look.press("Escape", "Escape")
    look.wait("document.querySelectorAll('.actor').length === 3")


def test_it_can_be_walked_by_keys(look: Screen) -> None:
    look.open("/")
    look.press("ArrowDown", "ArrowDown")
    assert look.evaluate("document.activeElement.dataset.key") == BERT
    look.press("End")
    assert look.evaluate("document.activeElement.dataset.key") == CARL
    look.press("Home", "Enter")
    look.page.wait_for_url(f"**/actors/{ANNA}")


def test_nothing_found_says_how_to_get_out(look: Screen) -> None:
    look.open("/?q=nobody")
    look.find("#empty button").click()
    look.wait("document.querySelectorAll('.actor').length === 3")


def test_push_all_and_pull_all_show_their_plan_and_do_it(screen: Screen, ground: Ground) -> None:
    screen.open("/")
    screen.find("[data-verb=push]").click()
    screen.page.wait_for_selector("#plan[open]")
    assert screen.find("#plan .steps li").count() == 7
    assert ground.there(BERT) == set()
    screen.confirm("Push 7 images")
    assert ground.there(BERT) == {"bert_0.png", "bert_1.png", "bert_2.png"}
    screen.find(".job .shut").click()
    screen.find("[data-verb=pull]").click()
    screen.confirm("Pull 3 images")
    assert ground.here(CARL) == {"carl_0.png"}
    screen.wait("document.querySelector('[data-filter=local_only] b').textContent === '0'")


def test_sync_all_says_what_it_would_find_and_does_it(screen: Screen, ground: Ground) -> None:
    screen.open("/")
    screen.find("[data-verb=sync]").click()
    screen.page.wait_for_selector("#plan[open]")
    assert "It found 19 images" in screen.find("#plan .said").inner_text()
    screen.confirm("Sync all actors")
    screen.wait("document.querySelector('[data-filter=local_only] b').textContent === '7'")
    assert ground.statuses()["new_15.png"] == "local_only"


def test_repair_all_names_what_it_refuses_and_why(screen: Screen, ground: Ground) -> None:
    screen.open("/")
    screen.find("[data-verb=repair]").click()
    screen.page.wait_for_selector("#plan[open]")
    assert screen.find("#plan .steps li").count() == 2
    assert "both_13.png" in screen.find("#plan .refusals li").inner_text()
    screen.press("Escape")
    screen.wait("!document.querySelector('#plan').open")
    assert ground.statuses()["edited_11.png"] == "out_of_sync"


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    tree = Tree(Path(tmp_path_factory.mktemp("crowd")))
    for number in range(MANY):
        name = f"{number:05}_extra"
        tree.folder(name)
        tree.write_manifest(f"{number:05}", {"character_name": name, "training_data": []})
    with running(tree.library(), watch=False) as api:
        yield api


def test_thousands_of_actors_are_a_few_rows_of_the_document(browser: Browser, crowd: Api) -> None:
    with on_screen(browser, crowd) as screen:
        screen.open("/")
        screen.wait(f"document.querySelector('#sum').textContent === '{MANY:,} actors'")
        assert screen.find(".actor").count() < 60
        screen.press("End")
        screen.wait(f"document.activeElement.dataset.key === '{MANY - 1:05}_extra'")
        screen.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        screen.wait(
            f"[...document.querySelectorAll('.actor')].some((row) => row.dataset.key === '{MANY // 2:05}_extra')"
        )
        assert screen.find(".actor").count() < 60


def test_an_empty_tree_says_how_to_begin(browser: Browser, tree: Tree) -> None:
    with running(tree.library(), watch=False) as api, on_screen(browser, api) as screen:
        screen.open("/")
        assert "training_data" in screen.find("#empty").inner_text()
