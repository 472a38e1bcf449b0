"""What changes elsewhere is shown by itself; a lost connection is told and mended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
from playwright.sync_api import Browser

from api_server import Api, running
from screen import ANNA, IMAGES, LATER_S, SYNCED, Ground, Screen, on_screen, picture, until

SOON_S = 2.0


@pytest.fixture
def watched(ground: Ground) -> Iterator[Api]:
    with running(ground.tree.library(), watch=True) as api:
        yield api


def _within(screen: Screen, seconds: float, script: str) -> None:
    started = monotonic()
    screen.wait(script)
    assert monotonic() - started < seconds


def test_a_file_that_is_saved_is_shown(browser: Browser, watched: Api, ground: Ground) -> None:
    with on_screen(browser, watched) as screen:
        screen.open()
        screen.wait("document.querySelector('#live').textContent.includes('Live')")
        ground.tree.image(ANNA, "fresh_99.png", picture(99))
        _within(screen, SOON_S, "document.querySelector('#images [data-key=\"fresh_99.png\"]') !== null")
        ground.tree.image(ANNA, SYNCED[0], picture(98), mtime_s=LATER_S)
        _within(
            screen, SOON_S, f"document.querySelector('[data-key=\"{SYNCED[0]}\"] .word').textContent === 'Out-of-sync'"
        )


def test_another_clients_mark_is_shown_and_nothing_else_is_touched(screen: Screen) -> None:
    screen.open()
    screen.focus(SYNCED[3])
    screen.press("x")
    screen.evaluate("document.querySelectorAll('.card').forEach((card) => { card.mine = true; })")
    screen.api.send("PATCH", f"/api/actors/0/training-data/{SYNCED[0]}", body={"good": True})
    _within(screen, SOON_S, f"document.querySelector('[data-key=\"{SYNCED[0]}\"]').classList.contains('good')")
    assert screen.evaluate("[...document.querySelectorAll('#images .card')].filter((card) => card.mine).length") == len(
        IMAGES
    )
    assert screen.selected() == {SYNCED[3]}
    assert screen.evaluate("document.activeElement.dataset.key") == SYNCED[3]


def test_the_list_follows_a_job_of_another_client(screen: Screen) -> None:
    screen.open("/")
    screen.api.send("POST", "/api/jobs", body={"verb": "push", "actors": ["1"]})
    screen.wait("document.querySelector('[data-filter=local_only] b').textContent === '3'")
    screen.wait("document.querySelectorAll('.actor')[1].textContent.includes('All synced')")


def test_a_lost_connection_is_told_and_mended(browser: Browser, ground: Ground) -> None:
    library = ground.tree.library()
    with ExitStack() as stack:
        with running(library, watch=False) as first:
            screen = stack.enter_context(on_screen(browser, first, faults=True))
            screen.open()
        screen.page.wait_for_selector("#lost:visible")
        assert screen.find("#live").get_attribute("data-state") == "off"
        assert len(screen.shown()) == len(IMAGES)
        library.mark("0", SYNCED[0], good=True)
        stack.enter_context(running(library, watch=False, port=first.port))
        screen.page.wait_for_selector("#lost", state="hidden")
        screen.wait(f"document.querySelector('[data-key=\"{SYNCED[0]}\"]').classList.contains('good')")


def test_a_network_that_goes_and_a_server_that_stays_is_mended(screen: Screen) -> None:
    screen.open()
    screen.evaluate("dispatchEvent(new Event('offline'))")
    assert screen.find("#live").get_attribute("data-state") == "off"
    screen.page.wait_for_selector("#live[data-state=on]")
    assert screen.find("#lost").is_hidden()


def test_a_hidden_tab_holds_no_connection_and_catches_up(screen: Screen) -> None:
    screen.open()
    hub = screen.api.service.hub
    _turn(screen, hidden=True)
    until(lambda: hub.listeners == 0)
    screen.api.send("PATCH", f"/api/actors/0/training-data/{SYNCED[0]}", body={"good": True})
    _turn(screen, hidden=False)
    screen.wait(f"document.querySelector('[data-key=\"{SYNCED[0]}\"]').classList.contains('good')")


def _turn(screen: Screen, *, hidden: bool) -> None:
    """To another tab, or back to this one."""
    value = str(hidden).lower()
    screen.evaluate(
        f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }}); document.dispatchEvent(new Event('visibilitychange'))"
    )
