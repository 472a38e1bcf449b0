"""OpenStack Swift as an S3 server, all of it in one process: python swift_server.py FOLDER PORT ACCOUNT:USER KEY REGION

Runs in an environment that has the package `swift` from PyPI. Objects lie in memory, listings in SQLite below FOLDER, which must be empty.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import eventlet  # type: ignore[import-not-found]

eventlet.monkey_patch()

import eventlet.wsgi  # type: ignore[import-not-found]  # noqa: E402
from swift.common import utils  # type: ignore[import-not-found]  # noqa: E402
from swift.common.ring import RingBuilder  # type: ignore[import-not-found]  # noqa: E402
from swift.common.wsgi import loadapp  # type: ignore[import-not-found]  # noqa: E402

_STORAGE = """\
[DEFAULT]
devices = {folder}
mount_check = false
swift_dir = {folder}
[app:main]
use = egg:swift#{app}
"""
_PROXY = """\
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo versioned_writes symlink proxy-server
[filter:s3api]
use = egg:swift#s3api
location = {region}
[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {key} .admin
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""
_PLAIN = "[filter:{name}]\nuse = egg:swift#{name}\n"
_RINGS = {"account": "account", "container": "container", "object": "object"}


def _listener(port: int = 0) -> socket.socket:
    listening: socket.socket = eventlet.listen(("127.0.0.1", port), backlog=128)
    return listening


def _make_ring(folder: Path, kind: str, port: int) -> None:
    """One device for everything."""
    builder = RingBuilder(1, 1, 1)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "disk", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def _app(folder: Path, name: str, text: str) -> object:
    config = folder / f"{name}.conf"
    config.write_text(text)
    return loadapp(str(config))


def main(folder: Path, port: int, user: str, key: str, region: str) -> None:
    utils.HASH_PATH_SUFFIX = b"callsheet"
    (folder / "disk").mkdir()
    listeners = {app: _listener() for app in _RINGS}
    for app, kind in _RINGS.items():
        _make_ring(folder, kind, listeners[app].getsockname()[1])
    serving = []
    for app, listener in listeners.items():
        storage = _app(folder, app, _STORAGE.format(folder=folder, app=app))
        serving.append(eventlet.spawn(eventlet.wsgi.server, listener, storage, log_output=False))
    account, _, name = user.partition(":")
    plain = "".join(
        _PLAIN.format(name=name) for name in ("catch_errors", "gatekeeper", "listing_formats", "copy", "slo", "symlink")
    )
    text = _PROXY.format(folder=folder, region=region, account=account, user=name, key=key) + plain
    eventlet.wsgi.server(_listener(port), _app(folder, "proxy", text), log_output=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
