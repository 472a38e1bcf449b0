"""Real S3 servers on free loopback ports, each ended by its own handle."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import urllib3
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from callsheet.remote import Remote

ACCESS_KEY = "callsheet:access"  # an account and its user, as Swift wants it
SECRET_KEY = "callsheet/secret+canary"
REGION = "us-west-1"
_START_TIMEOUT_S = 20.0
_STARTS = 5


@dataclass(frozen=True)
class Server:
    """A running S3 server. `env` is what the standard AWS variables have to be to use it, and nothing else."""

    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def make_bucket(self, bucket: str) -> str:
        """Create `bucket` in the tests' region, and return its name."""
        where = (
            f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
        )
        request = AWSRequest(method="PUT", url=f"{self.endpoint}/{bucket}", data=where.encode())
        S3SigV4Auth(Credentials(self.access_key, self.secret_key), "s3", REGION).add_auth(request)
        with urllib3.PoolManager() as http:
            answer = http.request("PUT", request.url, body=request.data, headers=dict(request.headers.items()))
        if answer.status != 200:
            raise RuntimeError(f"cannot make bucket {bucket}: {answer.status} {answer.data!r}")
        return bucket


@dataclass(frozen=True)
class Store:
    """A store under test, and an empty bucket in it. `name` is `memory`, `directory`, `ministack`, `rclone` or `swift`."""

    name: str
    remote: Remote
    bucket: str


def tool(name: str) -> str:
    """A program of the virtual environment that the tests run in."""
    return os.path.join(os.path.dirname(sys.executable), name)


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def ministack() -> Iterator[Server]:
    """MiniStack: conditions, versions, multipart and checksums as on AWS; signatures are checked in presigned URLs only."""
    with tempfile.TemporaryDirectory(prefix="callsheet-ministack-") as folder:

        def start(port: int) -> subprocess.Popen[bytes]:
            env = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "LOG_LEVEL": "ERROR"}
            env |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
            return _start([tool("ministack")], folder, env)

        with _serving(start, "/_ministack/health") as endpoint:
            yield Server(endpoint)


@contextlib.contextmanager
def rclone(*buckets: str) -> Iterator[Server]:
    """`rclone serve s3` on a folder of its own: checks signatures and digests; `buckets` exist from the start."""
    with tempfile.TemporaryDirectory(prefix="callsheet-rclone-") as folder:
        served = os.path.join(folder, "served")
        for bucket in buckets:
            os.makedirs(os.path.join(served, bucket))

        def start(port: int) -> subprocess.Popen[bytes]:
            command = [tool("rclone"), "serve", "s3", served, "--addr", f"127.0.0.1:{port}"]
            command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--config", os.devnull, "--log-level", "ERROR"]
            return _start(command, folder, {"RCLONE_CACHE_DIR": folder})

        with _serving(start, "/") as endpoint:
            yield Server(endpoint)


@contextlib.contextmanager
def swift(python: str) -> Iterator[Server]:
    """OpenStack Swift: checks signatures and digests, knows versions; `python` is of an environment that has it."""
    with tempfile.TemporaryDirectory(prefix="callsheet-swift-") as folder:
        program = os.path.join(os.path.dirname(__file__), "swift_server.py")

        def start(port: int) -> subprocess.Popen[bytes]:
            served = tempfile.mkdtemp(dir=folder)
            return _start([python, program, served, str(port), ACCESS_KEY, SECRET_KEY, REGION], folder, {})

        with _serving(start, "/") as endpoint:
            yield Server(endpoint)


def _start(command: list[str], folder: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    base = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder}
    with open(os.path.join(folder, "server.log"), "ab") as log:
        return subprocess.Popen(
            command, cwd=folder, env=base | dict(env), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


@contextlib.contextmanager
def _serving(start: Callable[[int], subprocess.Popen[bytes]], ready_path: str) -> Iterator[str]:
    """Start on a free port, and again on another if somebody else took it first; end the process at the end."""
    for _ in range(_STARTS):
        port = free_port()
        process = start(port)
        try:
            endpoint = f"http://127.0.0.1:{port}"
            if _answers(process, endpoint + ready_path):
                yield endpoint
                return
        finally:
            _end(process)
    raise RuntimeError(f"the server did not start: {process.args!r}")


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    with urllib3.PoolManager() as http:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                http.request("GET", url, timeout=2.0, retries=False)
            except urllib3.exceptions.HTTPError:
                time.sleep(0.02)
            else:
                return process.poll() is None
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
