"""Trees whose S3 can be made to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from behind import Faulty, faulty_tree
from callsheet.remote import session, wire
from faults import without_extension
from proxy import (
    proxy,
)
from servers import Server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are noted and not made."""
    noted: list[float] = []
    monkeypatch.setattr(session, "pause", noted.append)
    return noted


@pytest.fixture(params=["straight", "through Python"])
def bodies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way bodies go; without the extension there is but one."""
    if request.param == "through Python":
        without_extension(monkeypatch)
    elif wire._receive is None:
        pytest.skip("the extension was not built")


@pytest.fixture
def faulty(tmp_path: Path, ministack_server: Server) -> Iterator[Faulty]:
    with proxy(ministack_server.endpoint) as running:
        yield faulty_tree(tmp_path / "project", ministack_server, running)


@pytest.fixture(params=["ministack", "rclone"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faulty]:
    """On each of two servers."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    with proxy(server.endpoint) as running:
        yield faulty_tree(tmp_path / "project", server, running)
