"""The page in a real browser, on a tree whose S3 is a real server."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page

from api_server import Api
from callsheet.errors import NoSuchObject
from callsheet.layout import Layout
from callsheet.remote.s3 import S3Remote
from factory import SETTLED_S, Tree
from servers import REGION, Server

ANNA, BERT, CARL = "0000_anna", "0001_bert", "0002_carl"
SYNCED = tuple(f"same_{number}.png" for number in range(6))
LOCAL = ("mine_6.png", "mine_7.png", "mine_8.png")
FAR = ("theirs_9.png", "theirs_10.png")
EDITED, REPLACED, BOTH = "edited_11.png", "replaced_12.png", "both_13.png"
APART = (EDITED, REPLACED, BOTH)
IMAGES = (*SYNCED, *LOCAL, *FAR, *APART)
LOST, NEW = "lost_14.png", "new_15.png"
PROMPT = "<img src=x onerror=alert(1)> a portrait in soft light"
LATER_S = SETTLED_S + 60
SOON_MS = 10_000
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_WATCH_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


def chromium() -> str:
    """Where the browser is; the test fails where there is none."""
    found = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        pytest.fail("The page's tests need Chromium: apt-get update && apt-get install -y chromium", pytrace=False)
    return found


def picture(seed: int, side: int = 96) -> bytes:
    """A PNG of its own for each seed."""
    held = io.BytesIO()
    image = Image.new("RGB", (side, side), (40 + seed * 37 % 180, 60 + seed * 71 % 160, 90 + seed * 53 % 150))
    at = side // 5 + seed % 7
    ImageDraw.Draw(image).ellipse((at, at, side - at, side - at), fill=(250, 230 - seed * 11 % 90, 200))
    image.save(held, "PNG")
    return held.getvalue()


@dataclass(frozen=True)
class Ground:
    """A tree on a real S3 server: what is on either side, to compare with what the page says."""

    tree: Tree

    def here(self, actor: str = ANNA) -> set[str]:
        return set(os.listdir(self.tree.root / self.tree.where.training_dir(actor)))

    def there(self, actor: str = ANNA) -> set[str]:
        where = self.tree.where
        prefix = where.key_prefix(actor)
        return {found.location.key.removeprefix(prefix) for found in self.tree.remote.list(where.bucket, prefix)}

    def bytes_here(self, filename: str, actor: str = ANNA) -> bytes:
        return (self.tree.root / self.tree.where.image(actor, filename)).read_bytes()

    def bytes_there(self, filename: str, actor: str = ANNA) -> bytes:
        location = self.tree.where.location(actor, filename)
        return b"".join(self.tree.remote.read(location, if_match=self.tree.remote.head(location).etag).blocks)

    def sides(self, filename: str) -> tuple[bytes, bytes]:
        """What is here and there of one of Anna's images; nothing for the moment in which it is being replaced."""
        try:
            return self.bytes_here(filename), self.bytes_there(filename)
        except (FileNotFoundError, NoSuchObject):
            return b"", b""

    def statuses(self, stem: str = "0000") -> dict[str, str]:
        return self.tree.statuses(stem)

    def good(self, actor: str = ANNA) -> set[str]:
        return {entry.filename for entry in self.tree.library().manifest(actor).entries if entry.good}

    def drop(self, filename: str, actor: str = ANNA) -> None:
        """Take an image away from both sides, behind everybody's back."""
        os.unlink(self.tree.root / self.tree.where.image(actor, filename))
        self.tree.remote.delete(self.tree.where.location(actor, filename))


def ground(folder: Path, server: Server) -> Ground:
    """An empty tree with a bucket of its own."""
    bucket = server.make_bucket(f"page-{uuid.uuid4().hex[:12]}")
    tree = Tree(folder, S3Remote(REGION, endpoint_url=server.endpoint), Layout(bucket=bucket, region=REGION))
    (folder / "callsheet.toml").write_text(f'bucket = "{bucket}"\nregion = "{REGION}"\n')
    return Ground(tree)


def play(folder: Path, server: Server) -> Ground:
    """Anna has images of every status, a missing one and an orphaned one; Bert has three on this disk; Carl has one in S3 and no folder."""
    found = ground(folder, server)
    tree = found.tree
    for seed, name in enumerate((*SYNCED, *APART, LOST)):
        tree.both(ANNA, name, picture(seed))
    for seed, name in enumerate(LOCAL):
        tree.image(ANNA, name, picture(20 + seed))
    for seed, name in enumerate(FAR):
        tree.object(ANNA, name, picture(30 + seed))
    for number in range(3):
        tree.image(BERT, f"bert_{number}.png", picture(40 + number))
    tree.object(CARL, "carl_0.png", picture(50))
    base = tree.root / tree.where.folder(ANNA) / "base_image"
    base.mkdir()
    (base / f"{ANNA}_base.png").write_bytes(picture(60))
    tree.library().sync()
    tree.library().mark("0", SYNCED[1], good=True)
    tree.library().mark("0", SYNCED[2], prompt=PROMPT)
    tree.image(ANNA, EDITED, picture(70), mtime_s=LATER_S)
    tree.object(ANNA, REPLACED, picture(71))
    tree.image(ANNA, BOTH, picture(72), mtime_s=LATER_S)
    tree.object(ANNA, BOTH, picture(73))
    found.drop(LOST)
    tree.library().sync()
    tree.image(ANNA, NEW, picture(80))
    return found


@dataclass
class Screen:
    """A page of the browser, on a server. `told` is what its console said that must not be."""

    page: Page
    api: Api
    told: list[str] = field(default_factory=list)

    def open(self, path: str = f"/actors/{ANNA}") -> Screen:
        """Go there, and wait until everything is shown."""
        self.page.goto(self.api.base + path)
        self.page.wait_for_selector("#live[data-state=on]")
        self.page.wait_for_selector("main:not(:has([aria-busy]))")
        return self

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def card(self, filename: str) -> Locator:
        return self.page.locator(f'.card[data-key="{filename}"]')

    def shown(self) -> list[str]:
        """The names of the cards in the grid."""
        keys = self.evaluate(
            "[...document.querySelectorAll('#images .card:not(.kept)')].map((card) => card.dataset.key)"
        )
        return list(keys)

    def statuses(self) -> dict[str, str]:
        """What each card of the grid says, in words."""
        return dict(
            self.evaluate(
                "[...document.querySelectorAll('#images .card')].map((card) => [card.dataset.key, card.querySelector('.word').textContent])"
            )
        )

    def selected(self) -> set[str]:
        return set(
            self.evaluate("[...document.querySelectorAll('.card[aria-selected=true]')].map((card) => card.dataset.key)")
        )

    def counts(self) -> dict[str, int]:
        tiles = "[...document.querySelectorAll('[data-filter]')].map((tile) => [tile.dataset.filter, Number(tile.querySelector('b').textContent)])"
        return dict(self.evaluate(tiles))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focus(self, filename: str) -> None:
        """Make a card the active one, as Tab and the arrows do."""
        self.card(filename).focus()

    def select(self, *filenames: str) -> None:
        for filename in filenames:
            self.card(filename).click(modifiers=["Control"])

    def viewed(self) -> str:
        """The name of the image that is shown in full, once it is."""
        self.page.wait_for_selector("#viewer[open]")
        return self.find("#viewer-title").inner_text()

    def confirm(self, title: str | None = None) -> None:
        """Say yes to the plan that is shown, and wait until it was carried out."""
        self.page.wait_for_selector("#plan[open]")
        if title is not None:
            assert self.find("#plan-title").inner_text() == title
        self.find("#plan .yes").click()
        self.page.wait_for_selector(".job .shut:visible")

    def evaluate(self, script: str) -> Any:
        return self.page.evaluate(script)

    def wait(self, script: str) -> None:
        """Until a script says yes. Asked from outside: what the page itself would evaluate, its policy forbids."""
        until(lambda: bool(self.evaluate(script)), SOON_MS / 1000)

    def toast(self) -> str:
        return self.find(".toast").last.inner_text()

    @property
    def query(self) -> str:
        return str(self.evaluate("decodeURIComponent(location.search)"))


@contextmanager
def on_screen(browser: Browser, api: Api, *, faults: bool = False, **options: Any) -> Iterator[Screen]:
    """A window of its own. At its end, nothing must have been said in the console, unless `faults` are expected."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options})
    context.set_default_timeout(SOON_MS)
    context.add_init_script(_WATCH_VIOLATIONS)
    screen = Screen(context.new_page(), api)

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            screen.told.append(message.text)

    screen.page.on("console", said)
    screen.page.on("pageerror", lambda error: screen.told.append(str(error)))
    try:
        yield screen
        assert faults or not screen.told, screen.told
    finally:
        context.close()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for what happens outside of the page."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        sleep(0.02)
