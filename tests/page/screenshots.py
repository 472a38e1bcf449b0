"""Writes a picture of every state of the page, wide and narrow, light and dark: `make screenshots`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from api_server import Api, running
from callsheet.cli.demo import make_demo
from callsheet.settings import open_library
from screen import Screen, chromium, on_screen

EUROPEAN, DIFFERING, MISSING, PROMPTS = (
    "0000_european_16_male",
    "0003_south_asian_41_male",
    "0005_middle_eastern_52_male",
    "0004_latin_american_23_female",
)
DOCS = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "images")
SETTLED_MS = 400
SIZES: dict[str, dict[str, Any]] = {
    "wide": {"viewport": {"width": 1440, "height": 900}},
    "narrow": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}


def _tab(name: str, *keys: str, wait: str = "main") -> Callable[[Screen], None]:
    def enter(screen: Screen) -> None:
        screen.open(f"/actors/{name}")
        screen.press(*keys)
        screen.page.wait_for_selector(wait)

    return enter


def _compare(mode: str) -> Callable[[Screen], None]:
    def enter(screen: Screen) -> None:
        screen.open(f"/actors/{DIFFERING}?image={DIFFERING}_2.jpg")
        screen.viewed()
        screen.find(f"[data-mode={mode}]").click()

    return enter


STATES: dict[str, Callable[[Screen], object]] = {
    "actors": lambda screen: screen.open("/"),
    "actors-nothing": lambda screen: screen.open("/?q=nobody"),
    "tab": _tab(PROMPTS),
    "tab-missing": _tab(MISSING, "End"),
    "tab-filter": lambda screen: screen.open(f"/actors/{EUROPEAN}?status=local_only"),
    "selection": _tab(EUROPEAN, "Control+a"),
    "plan": _tab(EUROPEAN, "Control+a", "u", wait="#plan[open]"),
    "help": _tab(EUROPEAN, "?", wait="#help[open]"),
    "viewer": _tab(PROMPTS, "ArrowRight", "Enter", wait="#viewer[open]"),
    "compare": _compare("beside"),
    "difference": _compare("difference"),
    "triage": _tab(PROMPTS, "t", wait="#triage[open]"),
    "triage-summary": _tab(PROMPTS, "t", "n", "g", "Escape", wait="#triage .summary"),
}


def take(browser: Browser, api: Api, folder: str) -> None:
    for theme in ("light", "dark"):
        for size, options in SIZES.items():
            with on_screen(browser, api, faults=True, color_scheme=theme, **options) as screen:
                for state, enter in STATES.items():
                    enter(screen)
                    screen.page.wait_for_timeout(SETTLED_MS)
                    screen.page.screenshot(path=os.path.join(folder, f"{state}-{size}-{theme}.png"))


def keep(folder: str) -> None:
    """Put those that the README shows into docs/images, small."""
    os.makedirs(DOCS, exist_ok=True)
    for state in ("tab-wide-light", "compare-wide-dark"):
        with Image.open(os.path.join(folder, f"{state}.png")) as image:
            image.convert("RGB").save(os.path.join(DOCS, f"{state.partition('-')[0]}.webp"), quality=80, method=6)


def main(folder: str) -> None:
    """Into `folder`, which is cleared before."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory() as root, sync_playwright() as playwright:
        make_demo(root, None)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        with running(open_library(root, environ={}), watch=False) as api:
            take(browser, api, folder)
        browser.close()
    keep(folder)


if __name__ == "__main__":
    main(sys.argv[1])
