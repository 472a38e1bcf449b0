"""An S3 server that keeps nothing large, so that gigabytes can go to it and come back; and trees that are worth it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from factory import SETTLED_S, Tree

_BLOCK_BYTES = 1 << 20
_KEPT_BYTES = 1 << 16
_PAGE_KEYS = 1000
_ZEROS = bytes(_BLOCK_BYTES)
_XMLNS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_MODIFIED = 1_760_000_000
RESET = "/_reset"
"""A POST to this path empties all buckets."""
_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///ywAAAAAAQABAAACAUwAOw==")
"""One pixel."""


@dataclass(frozen=True)
class _Object:
    """`body` is None for one that is too large to be kept: it is given out as zeros, and has to consist of them."""

    size_bytes: int
    etag: str
    metadata: dict[str, str]
    body: bytes | None


@dataclass
class _Upload:
    metadata: dict[str, str]
    parts: dict[int, tuple[int, bytes]] = field(default_factory=dict)


class Sink(ThreadingHTTPServer):
    """Listings, HEAD, GET, conditional PUT, uploads in parts and DELETE, in any bucket, for anybody.

    An object of more than `kept_bytes` must be all zeros to come back as it was. Every answer to a listing is `latency_s` late.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, kept_bytes: int = _KEPT_BYTES, latency_s: float = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kept_bytes = kept_bytes
        self.latency_s = latency_s
        self.objects: dict[str, _Object] = {}
        self.uploads: dict[str, _Upload] = {}
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        self._sorted: list[str] = []
        self._known = 0
        self._changes = 0

    def hold(self, path: str, size_bytes: int, etag: str) -> None:
        """Have an object of zeros at `/bucket/key`, whatever its ETag says."""
        self.objects[path] = _Object(size_bytes, etag, {}, None)
        self.changed()

    def clear(self) -> None:
        """Hold nothing."""
        self.objects.clear()
        self.changed()

    def changed(self) -> None:
        """Paths have come or gone."""
        self._changes += 1

    def paths(self) -> list[str]:
        """All of them, sorted: not sorted again while none came or went."""
        with self.lock:
            if self._known != self._changes:
                self._known, self._sorted = self._changes, sorted(self.objects)
            return self._sorted

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextlib.contextmanager
def sink(*, kept_bytes: int = _KEPT_BYTES, latency_s: float = 0) -> Iterator[Sink]:
    """A running `Sink`."""
    server = Sink(kept_bytes=kept_bytes, latency_s=latency_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Sink
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass

    def handle_expect_100(self) -> bool:
        told = super().handle_expect_100()
        self.wfile.flush()  # or who asks first would wait
        return told

    def do_GET(self) -> None:
        path, query = self._target()
        if path.count("/", 0, -1) == 1:
            self._list(path.strip("/"), query)
        else:
            self._give(path, with_body=True)

    def do_HEAD(self) -> None:
        path, _ = self._target()
        if path.count("/", 0, -1) == 1:
            self._answer(200)
        else:
            self._give(path, with_body=False)

    def do_PUT(self) -> None:
        path, query = self._target()
        size_bytes, digest, kept = self._taken()
        etag = digest.hex()
        if self.headers["Content-MD5"] not in (None, base64.b64encode(digest).decode()):
            self._refuse(400, "BadDigest")
        elif "partNumber" in query:
            self.server.uploads[query["uploadId"]].parts[int(query["partNumber"])] = (size_bytes, digest)
            self._answer(200, {"ETag": f'"{etag}"'})
        else:
            self._create(path, _Object(size_bytes, etag, self._metadata(), kept), b"")

    def do_POST(self) -> None:
        path, query = self._target()
        self._taken()
        if path == RESET:
            self.server.clear()
            self._answer(204)
            return
        if "uploads" in query:
            upload_id = secrets.token_hex(8)
            self.server.uploads[upload_id] = _Upload(self._metadata())
            told = f"<InitiateMultipartUploadResult {_XMLNS}><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            self._answer(200, body=told.encode())
            return
        upload = self.server.uploads[query["uploadId"]]
        parts = [upload.parts[number] for number in sorted(upload.parts)]
        digest = hashlib.md5(b"".join(md5 for _, md5 in parts))
        etag = f"{digest.hexdigest()}-{len(parts)}"
        told = (
            f"<CompleteMultipartUploadResult {_XMLNS}><ETag>&quot;{etag}&quot;</ETag></CompleteMultipartUploadResult>"
        )
        whole = _Object(sum(size for size, _ in parts), etag, upload.metadata, None)
        if self._create(path, whole, told.encode()):
            del self.server.uploads[query["uploadId"]]

    def do_DELETE(self) -> None:
        path, query = self._target()
        if "uploadId" in query:
            self.server.uploads.pop(query["uploadId"], None)
        else:
            self.server.objects.pop(path, None)
            self.server.changed()
        self._answer(204)

    def _target(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return unquote(parts.path), {n: v[0] for n, v in parse_qs(parts.query, keep_blank_values=True).items()}

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def _taken(self) -> tuple[int, bytes, bytes | None]:
        """Size and MD5 of the request's body, and the body itself if it is small."""
        size_bytes = left_bytes = int(self.headers.get("Content-Length", 0))
        digest, body = hashlib.md5(), bytearray()
        keep = size_bytes <= self.server.kept_bytes
        while left_bytes:
            block = self.rfile.read(min(_BLOCK_BYTES, left_bytes))
            if not block:
                raise ConnectionError("the body ended early")
            digest.update(block)
            if keep:
                body += block
            left_bytes -= len(block)
        return size_bytes, digest.digest(), bytes(body) if keep else None

    def _create(self, path: str, new: _Object, body: bytes) -> bool:
        with self.server.lock:
            free = self.headers["If-None-Match"] != "*" or path not in self.server.objects
            if free:
                self.server.objects[path] = new
                self.server.changed()
        if free:
            self._answer(200, {"ETag": f'"{new.etag}"'}, body)
        else:
            self._refuse(412, "PreconditionFailed")
        return free

    def _give(self, path: str, *, with_body: bool) -> None:
        held = self.server.objects.get(path)
        if held is None:
            self._refuse(404, "NoSuchKey")
            return
        if self.headers.get("If-Match", f'"{held.etag}"') != f'"{held.etag}"':
            self._refuse(412, "PreconditionFailed")
            return
        modified = formatdate(_MODIFIED, usegmt=True)
        headers = {"ETag": f'"{held.etag}"', "Last-Modified": modified, **held.metadata}
        self._answer(200, {**headers, "Content-Length": str(held.size_bytes)})
        if not with_body:
            return
        if held.body is not None:
            self.wfile.write(held.body)
            return
        for start in range(0, held.size_bytes, _BLOCK_BYTES):
            self.wfile.write(memoryview(_ZEROS)[: held.size_bytes - start])

    def _list(self, bucket: str, query: dict[str, str]) -> None:
        """Both versions of the request. With a delimiter, what is below a folder is told as that folder."""
        time.sleep(self.server.latency_s)
        self.server.requests["list"] += 1
        paths, start = self.server.paths(), f"/{bucket}/"
        prefix, delimiter = start + query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", _PAGE_KEYS)), _PAGE_KEYS)
        after = query.get("continuation-token") or query.get("start-after") or query.get("marker") or ""
        at = max(bisect_left(paths, prefix), bisect_right(paths, start + after) if after else 0)
        rows: list[str] = []
        last = ""
        while at < len(paths) and paths[at].startswith(prefix) and len(rows) < most:
            last, cut = paths[at], paths[at].find(delimiter, len(prefix)) if delimiter else -1
            if cut >= 0:
                last = paths[at][:cut] + chr(ord(delimiter) + 1)  # comes after all that is in the folder
                folder = quote(paths[at][len(start) : cut + 1])
                rows.append(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")
                at = bisect_left(paths, last)
            else:
                rows.append(_row(last[len(start) :], self.server.objects[last]))
                at += 1
        more = at < len(paths) and paths[at].startswith(prefix)
        name, shown = ("NextContinuationToken", escape) if "list-type" in query else ("NextMarker", quote)
        token = f"<{name}>{shown(last[len(start) :])}</{name}>" if more else ""
        told = (
            f"<ListBucketResult {_XMLNS}><Name>{bucket}</Name><EncodingType>url</EncodingType>"
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{''.join(rows)}</ListBucketResult>"
        )
        self._answer(200, body=told.encode())

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, body=f"<Error><Code>{code}</Code></Error>".encode())

    def _answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _row(key: str, held: _Object) -> str:
    return (
        f"<Contents><Key>{quote(key)}</Key><LastModified>2025-10-09T08:53:20.000Z</LastModified>"
        f"<ETag>&quot;{held.etag}&quot;</ETag><Size>{held.size_bytes}</Size></Contents>"
    )


def large_image(tree: Tree, size_bytes: int) -> None:
    """One image that takes no room on disk: all zeros."""
    path = tree.image("0000_large", "0000_large_0.png")
    os.truncate(path, 0)
    os.truncate(path, size_bytes)
    os.utime(path, (SETTLED_S, SETTLED_S))


def many_images(tree: Tree, images: int, actors: int) -> None:
    """Images of a few bytes, no two of them equal."""
    for number in range(images):
        actor = f"{number % actors:04}_many"
        tree.image(actor, f"{actor}_{number // actors}.gif", _GIF + str(number).encode())
