"""The stores that the contract's tests run on."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
from servers import REGION, Server, Store, swift

SWIFT = os.environ.get("SWIFT_PYTHON")
"""The interpreter of an environment that has OpenStack Swift, a third server: `make soak` makes one."""

STORES = ("memory", "directory", "ministack", "rclone", *(["swift"] if SWIFT else []))


@pytest.fixture(scope="session")
def swift_server() -> Iterator[Server]:
    with swift(SWIFT or "") as server:
        yield server


@pytest.fixture(scope="session")
def open_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Store]:
    """Opens a store by its name, with a bucket of its own."""

    def opened(name: str) -> Store:
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        if name == "memory":
            return Store(name, MemoryRemote([bucket], region=REGION), bucket)
        if name == "directory":
            root = tmp_path_factory.mktemp("directory")
            (root / bucket).mkdir()
            return Store(name, DirectoryRemote(str(root), REGION), bucket)
        server: Server = request.getfixturevalue(f"{name}_server")
        server.make_bucket(bucket)
        return Store(name, S3Remote(REGION, endpoint_url=server.endpoint), bucket)

    return opened


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, open_store: Callable[[str], Store]) -> Store:
    return open_store(request.param)
