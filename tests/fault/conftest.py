"""Trees whose S3 can be made to fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from behind import Faulty, faulty_tree
from callsheet.remote import session
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
