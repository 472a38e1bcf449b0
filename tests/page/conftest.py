"""One browser for each file of tests, a window for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from api_server import Api, running
from screen import Ground, Screen, chromium, on_screen, play
from servers import Server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while Playwright is open, an event loop runs in this thread, and other tests could have none of their own."""
    path = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory, ministack_server: Server) -> Iterator[Api]:
    """A server on a tree that no test changes. Not for the whole session: its threads would look at the disks of the simulator's tests."""
    with running(
        play(tmp_path_factory.mktemp("still") / "project", ministack_server).tree.library(), watch=False
    ) as api:
        yield api


@pytest.fixture
def look(browser: Browser, unchanged: Api) -> Iterator[Screen]:
    """A window on that."""
    with on_screen(browser, unchanged) as shown:
        yield shown


@pytest.fixture
def ground(tmp_path: Path, ministack_server: Server) -> Ground:
    return play(tmp_path / "project", ministack_server)


@pytest.fixture
def api(ground: Ground) -> Iterator[Api]:
    with running(ground.tree.library(), watch=False) as served:
        yield served


@pytest.fixture
def screen(browser: Browser, api: Api) -> Iterator[Screen]:
    with on_screen(browser, api) as shown:
        yield shown
