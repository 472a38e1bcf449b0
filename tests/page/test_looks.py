"""The page is light, accessible in every state, in either theme and on a phone, and smooth with thousands of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser

from api_server import Api, running
from callsheet.remote.s3 import S3Remote
from factory import SETTLED_S, Tree
from screen import ANNA, BERT, BOTH, LOCAL, SYNCED, Screen, on_screen, picture
from servers import REGION

MANY = 10_000
PAGE_BYTES = 100_000
FIRST_PAINT_MS = 300
FRAME_MS = 1000 / 60
STEPS = 200
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}


def _help(screen: Screen) -> None:
    screen.open()
    screen.press("?")
    screen.page.wait_for_selector("#help[open]")


def _selection(screen: Screen) -> None:
    screen.open()
    screen.focus(SYNCED[0])
    screen.press("x", "Shift+ArrowRight")


def _plan(screen: Screen) -> None:
    screen.open()
    screen.find(".head [data-verb=repair]").click()
    screen.page.wait_for_selector("#plan[open]")


def _viewer(screen: Screen, filename: str = SYNCED[2]) -> None:
    screen.open(f"/actors/0?image={filename}")
    screen.viewed()
    if not screen.find(".panel").is_visible():
        screen.press("i")


def _triage(screen: Screen) -> None:
    screen.open()
    screen.press("t")
    screen.page.wait_for_selector("#triage[open]")


def _summary(screen: Screen) -> None:
    _triage(screen)
    screen.press("g", "n", "Escape")


def _notice(screen: Screen) -> None:
    screen.open()
    screen.press("Control+z")
    screen.page.wait_for_selector(".toast")


def _error(screen: Screen) -> None:
    screen.page.goto(f"{screen.api.base}/actors/nobody")
    screen.told.clear()


STATES: dict[str, Callable[[Screen], object]] = {
    "list": lambda screen: screen.open("/"),
    "list, nothing found": lambda screen: screen.open("/?q=nobody"),
    "tab": lambda screen: screen.open(),
    "tab, no base image": lambda screen: screen.open(f"/actors/{BERT}"),
    "tab, nothing found": lambda screen: screen.open(f"/actors/{BERT}?status=synced"),
    "help": _help,
    "selection": _selection,
    "plan": _plan,
    "viewer": _viewer,
    "compare": lambda screen: _viewer(screen, BOTH),
    "triage": _triage,
    "summary": _summary,
    "notice": _notice,
    "error": _error,
}


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", PHONE)], ids=["light desk", "dark phone"])
def test_every_state_is_accessible_and_fits(browser: Browser, unchanged: Api, theme: str, size: dict[str, Any]) -> None:
    with on_screen(browser, unchanged, color_scheme=theme, **size) as screen:
        faults = []
        for state, enter in STATES.items():
            enter(screen)
            wide = screen.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                faults.append(f"{state} is {wide} pixels too wide")
            found = Axe().run(screen.page)
            if found.violations_count:
                faults.append(f"{state}: {found.generate_report()}")
        assert not faults, "\n".join(faults)


def test_the_theme_follows_the_system_until_one_is_chosen_and_that_is_kept(look: Screen) -> None:
    ground_colour = "getComputedStyle(document.body).backgroundColor"
    look.page.emulate_media(color_scheme="dark")
    look.open("/")
    dark = look.evaluate(ground_colour)
    look.page.emulate_media(color_scheme="light")
    light = look.evaluate(ground_colour)
    assert dark != light
    look.find("#theme-button").click()
    assert look.evaluate(ground_colour) == dark
    look.open()
    assert look.evaluate(ground_colour) == dark


def test_a_finger_opens_an_image_and_selects_by_the_tick(browser: Browser, unchanged: Api) -> None:
    with on_screen(browser, unchanged, **PHONE) as screen:
        screen.open()
        screen.card(SYNCED[0]).tap()
        assert screen.viewed() == SYNCED[0]
        screen.find("#viewer [data-close]").tap()
        screen.wait("!document.querySelector('#viewer').open")
        screen.card(SYNCED[0]).locator(".tick").tap()
        screen.card(LOCAL[0]).tap()
        assert screen.selected() == {SYNCED[0], LOCAL[0]}


@pytest.fixture(scope="module")
def seventeen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    tree = Tree(Path(tmp_path_factory.mktemp("seventeen")))
    for number in range(17):
        tree.both(ANNA, f"{ANNA}_{number}.png", picture(number))
    tree.library().sync()
    with running(tree.library(), watch=False) as api:
        yield api


def test_a_page_weighs_less_than_a_picture(browser: Browser, seventeen: Api) -> None:
    sizes = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].filter((entry) => !/thumbnail|base-image/.test(entry.name)).map((entry) => [entry.name, entry.transferSize, entry.decodedBodySize])"
    with on_screen(browser, seventeen) as screen:
        screen.open()
        screen.wait("document.querySelectorAll('#images .card').length === 17")
        found = screen.evaluate(sizes)
        assert len(found) > 10
        assert sum(sent for _, sent, _ in found) < PAGE_BYTES, found
        screen.page.reload()
        again = sum(sent for name, sent, _ in screen.evaluate(sizes) if "/static/" in name)
        assert again == 0, "what a URL with a version names is not asked for again"


def test_the_first_paint_comes_at_once(browser: Browser, seventeen: Api) -> None:
    with on_screen(browser, seventeen) as screen:
        painted = []
        for _ in range(5):
            screen.open()
            screen.wait("performance.getEntriesByName('first-contentful-paint').length > 0")
            painted.append(screen.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        assert min(painted) < FIRST_PAINT_MS, painted


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    tree = Tree(Path(tmp_path_factory.mktemp("thousands")))
    first = tree.image(ANNA, f"{ANNA}_0.png", picture(1))
    for number in range(1, MANY):
        os.link(first, first.parent / f"{ANNA}_{number}.png")
    tree.library().sync()
    with running(tree.library(), watch=False) as api:
        yield api


def test_ten_thousand_images_are_a_few_cards_of_the_document(browser: Browser, thousands: Api) -> None:
    with on_screen(browser, thousands) as screen:
        screen.open()
        assert screen.counts()[""] == MANY or screen.find("#tiles b").first.inner_text() == f"{MANY:,}"
        assert screen.find("#images .card").count() < 150
        screen.press("End")
        last = f"{ANNA}_{MANY - 1}.png"
        assert screen.evaluate("document.activeElement.dataset.key") == last
        assert screen.card(last).get_attribute("aria-posinset") == str(MANY)
        screen.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        screen.wait(
            f"[...document.querySelectorAll('#images .card:not(.kept)')].some((card) => card.dataset.key === '{ANNA}_{MANY // 2}.png')"
        )
        assert screen.find("#images .card").count() < 150
        assert screen.evaluate("document.activeElement.dataset.key") == last, "what is out of sight keeps the focus"
        screen.wait(
            "[...document.querySelectorAll('#images .card:not(.kept) img')].some((image) => image.naturalWidth > 0)"
        )


def test_scrolling_costs_less_than_a_frame(browser: Browser, thousands: Api) -> None:
    """In time of the page's own thread, which others who work on this machine do not slow down; and no step leaves the window empty."""
    script = """async (steps) => {
        let shown = 0;
        for (let step = 0; step < steps; step += 1) {
            scrollBy(0, 100);
            await new Promise(requestAnimationFrame);
            shown += document.elementFromPoint(innerWidth / 2, innerHeight / 2).closest('.card, .cards') ? 1 : 0;
        }
        return shown;
    }"""
    with on_screen(browser, thousands) as screen:
        screen.open()
        session = screen.page.context.new_cdp_session(screen.page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent_ms() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration") * 1000

        before = spent_ms()
        assert screen.page.evaluate(script, STEPS) == STEPS
        assert (spent_ms() - before) / STEPS < FRAME_MS


def test_an_s3_that_does_not_answer_is_told_and_nothing_is_claimed(browser: Browser, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "project")
    tree.both(ANNA, "a.png", picture(1))
    tree.image(ANNA, "b.png", picture(2))
    tree.library().sync()
    away = Tree(tree.root, S3Remote(REGION, endpoint_url="http://127.0.0.1:9"))
    os.utime(tree.root / tree.where.image(ANNA, "b.png"), (SETTLED_S, SETTLED_S))
    with running(away.library(), watch=False) as api, on_screen(browser, api) as screen:
        screen.open()
        assert screen.statuses() == {"a.png": "Synced", "b.png": "Local-only"}
        screen.find(".head [data-verb=push]").click()
        screen.page.wait_for_selector("#plan[open], .toast.bad", timeout=30_000)
        told = screen.find("#plan").inner_text() if screen.find("#plan[open]").count() else screen.toast()
        assert "127.0.0.1:9" in told
        assert screen.find("#plan a").count() == 0, "a bucket is no image that could be opened"
