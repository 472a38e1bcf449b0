"""What every test can ask for. Servers are started once for each test process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from callsheet import hashing
from callsheet.errors import LocalError
from callsheet.model import HashedFile
from factory import Tree
from servers import Server, ministack, rclone

# How long something takes is for the benchmark to say; and what fails must fail again.
# A shell starts what it puts in the background with Ctrl-C ignored, and so would be every command that is tried here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("untimed", deadline=None, derandomize=True)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "1000")),
    suppress_health_check=[*HealthCheck],
)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def ministack_server() -> Iterator[Server]:
    with ministack() as server:
        yield server


@pytest.fixture(scope="session")
def rclone_server() -> Iterator[Server]:
    with rclone() as server:
        yield server


@pytest.fixture(autouse=True, scope="session")
def _aws_environment() -> Iterator[None]:
    """Credentials that both servers take, and nothing of the user's own configuration."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith("AWS_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name, value in Server("http://127.0.0.1:1").env.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all files that are hashed in this process from here on."""
    noted: list[str] = []
    hash_files = hashing.hash_files

    def note(paths: Sequence[str]) -> list[HashedFile | LocalError]:
        noted.extend(paths)
        return hash_files(paths)

    monkeypatch.setattr(hashing, "hash_files", note)
    return noted


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty project with an empty in-memory bucket."""
    return Tree(tmp_path / "project")
