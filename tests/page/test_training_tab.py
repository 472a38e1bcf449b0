"""The Training Data tab shows every image, on whichever side it is, and says of each what is true."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from api_server import Api, running
from screen import (
    ANNA,
    APART,
    BERT,
    CARL,
    FAR,
    IMAGES,
    LOCAL,
    LOST,
    NEW,
    PROMPT,
    SYNCED,
    Ground,
    Screen,
    ground,
    on_screen,
    picture,
)
from servers import Server

WORDS = {"Synced": SYNCED, "Local-only": LOCAL, "S3-only": FAR, "Out-of-sync": APART}


def test_all_images_are_shown_in_natural_order_with_their_status(look: Screen) -> None:
    look.open()
    assert look.shown() == sorted(IMAGES, key=lambda name: (name.split("_")[0], int(name.split("_")[1][:-4])))
    assert look.statuses() == {name: word for word, names in WORDS.items() for name in names}


def test_every_picture_can_be_seen(look: Screen) -> None:
    look.open()
    look.wait("[...document.querySelectorAll('#images img')].every((image) => image.naturalWidth > 0)")
    assert not look.find("img.failed").count()


def test_a_status_is_told_by_colour_and_sign_and_word(look: Screen) -> None:
    look.open()
    seen = set()
    for name in (SYNCED[0], LOCAL[0], FAR[0], APART[0]):
        card = look.card(name)
        hue = card.evaluate("(card) => getComputedStyle(card.querySelector('.sign')).color")
        seen.add((hue, card.locator(".sign").inner_text(), card.locator(".word").inner_text()))
    assert [len(set(column)) for column in zip(*seen, strict=True)] == [4, 4, 4]


def test_the_five_counts_are_on_top_and_filter(look: Screen) -> None:
    look.open()
    assert look.counts() == {"": 14, "synced": 6, "local_only": 3, "s3_only": 2, "out_of_sync": 3}
    look.find("[data-filter=local_only]").click()
    assert look.shown() == [*LOCAL]
    look.find("[data-filter=s3_only]").click()
    assert set(look.shown()) == {*LOCAL, *FAR}
    look.find("[data-filter=local_only]").click()
    assert set(look.shown()) == {*FAR}
    look.find("[data-filter='']").click()
    assert len(look.shown()) == len(IMAGES)


def test_orphaned_and_missing_images_have_sections_of_their_own(look: Screen) -> None:
    look.open()
    assert look.find("#orphaned .card .name").all_inner_texts() == [NEW]
    assert look.find("#missing .card .name").all_inner_texts() == [LOST]
    look.find("#orphaned .card").scroll_into_view_if_needed()
    look.wait("document.querySelector('#orphaned img').naturalWidth > 0")
    with look.page.expect_popup() as opened:
        look.find("#orphaned .card a").click()
    assert opened.value.url.endswith(f"/data/actors/{ANNA}/training_data/{NEW}")
    assert look.find("#to-orphaned b").inner_text() == look.find("#to-missing b").inner_text() == "1"


def test_evidence_and_since_when_are_told_on_hover(look: Screen) -> None:
    look.open()
    title = look.card(SYNCED[0]).get_attribute("title") or ""
    assert "Known by: " in title
    assert "Since: " in title
    assert "It changed on both sides" in (look.card(APART[2]).get_attribute("title") or "")


def test_scripted_prompts_and_searches_are_inert(look: Screen) -> None:
    look.open("/actors/0000_anna?q=soft light")
    assert look.shown() == [SYNCED[2]]
    look.find("#size").fill("4")
    assert look.card(SYNCED[2]).locator(".prompt").inner_text() == PROMPT
    look.focus(SYNCED[2])
    look.press("Enter")
    assert look.find(".panel .prompt").inner_text() == PROMPT
    assert not look.find("img[src=x]").count()


def test_links_lead_to_an_actor_a_filter_and_an_image_and_back(look: Screen) -> None:
    look.open(f"/actors/0?status=local_only&image={LOCAL[1]}")
    assert look.page.url.startswith(f"{look.api.base}/actors/{ANNA}?")
    assert look.viewed() == LOCAL[1]
    look.press("ArrowRight")
    assert look.query == f"?status=local_only&image={LOCAL[2]}"
    look.press("Escape")
    look.wait("!document.querySelector('#viewer').open && location.search === '?status=local_only'")
    assert look.shown() == [*LOCAL]


def test_back_closes_what_was_opened_and_takes_filters_away(look: Screen) -> None:
    look.open()
    look.find("[data-filter=local_only]").click()
    look.card(LOCAL[0]).dblclick()
    look.page.wait_for_selector("#viewer[open]")
    look.page.go_back()
    look.wait("!document.querySelector('#viewer').open && location.search === '?status=local_only'")
    look.page.go_back()
    look.wait(f"document.querySelectorAll('#images .card').length === {len(IMAGES)}")
    look.page.go_forward()
    look.wait(f"document.querySelectorAll('#images .card').length === {len(LOCAL)}")


def test_a_link_to_an_image_that_is_not_there_says_so(look: Screen) -> None:
    look.open("/actors/0000_anna?image=nobody.png")
    look.page.wait_for_selector(".toast")
    assert "nobody.png" in look.toast()
    assert look.query == ""


def test_a_filter_without_images_says_how_to_get_out(look: Screen) -> None:
    look.open(f"/actors/{BERT}?status=synced")
    look.find("#empty button").click()
    assert len(look.shown()) == 3


def test_the_base_image_is_beside_or_its_lack_is_told(look: Screen) -> None:
    look.open()
    look.wait("document.querySelector('#base img').naturalWidth > 0")
    look.open(f"/actors/{BERT}")
    assert "No base image" in look.find("#base").inner_text()


def test_a_base_image_that_is_gone_is_not_shown_on(screen: Screen, ground: Ground) -> None:
    screen.open()
    where = ground.tree.where
    (ground.tree.root / where.folder(ANNA) / "base_image" / f"{ANNA}_base.png").unlink()
    screen.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    screen.wait("document.querySelector('#base').textContent.includes('No base image')")


def test_what_is_drawn_first_comes_with_the_page(browser: Browser, unchanged: Api) -> None:
    with on_screen(browser, unchanged, java_script_enabled=False) as screen:
        screen.page.goto(f"{unchanged.base}/actors/{ANNA}")
        assert screen.find("#images .card").count() == len(IMAGES)
        assert screen.find("#tiles b").first.inner_text() == "14"


@pytest.mark.parametrize("path", ["/actors/9", "/actors/%3Cscript%3Ealert(1)"])
def test_an_unknown_actor_has_a_page_that_says_what_to_do(browser: Browser, unchanged: Api, path: str) -> None:
    with on_screen(browser, unchanged, faults=True) as screen:
        answer = screen.page.goto(unchanged.base + path)
        assert answer is not None
        assert answer.status == 404
        assert "unknown_actor" in screen.find("main").inner_text()
        screen.find("main a").click()
        screen.page.wait_for_selector(".actor")


def test_only_in_s3_is_an_actor_too(look: Screen) -> None:
    look.open(f"/actors/{CARL}")
    assert look.statuses() == {"carl_0.png": "S3-only"}
    look.wait("document.querySelector('#images img').naturalWidth > 0")


@pytest.mark.parametrize("filename", ["a b#1?&c=%2F.png", "ü 'quoted' \"twice\".png", "<b onclick=alert(1)>.png"])
def test_any_name_is_shown_linked_and_worked_on(
    browser: Browser, tmp_path: Path, ministack_server: Server, filename: str
) -> None:
    odd = ground(tmp_path / "project", ministack_server)
    odd.tree.image(BERT, filename, picture(1))
    odd.tree.library().sync()
    with running(odd.tree.library(), watch=False) as api, on_screen(browser, api) as screen:
        screen.open(f"/actors/{BERT}")
        assert screen.shown() == [filename]
        screen.wait("document.querySelector('#images img').naturalWidth > 0")
        screen.press("ArrowRight", "Enter")
        assert screen.viewed() == filename
        screen.wait("document.querySelector('#viewer .pane img').naturalWidth > 0")
        screen.page.reload()
        assert screen.viewed() == filename
        screen.press("Escape")
        screen.wait("document.activeElement.matches('.card')")
        screen.press("u")
        screen.confirm("Push 1 image")
        assert odd.there(BERT) == {filename}
