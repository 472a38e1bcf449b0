"""A tree whose S3 is a real server behind a proxy that faults."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote.failures import Request
from callsheet.remote.s3 import S3Remote
from callsheet.remote.session import Session
from callsheet.remote.transport import Answer
from factory import Tree
from kept import Witness
from proxy import (
    Proxy,
)
from scene import ANNA, BAD, finishes, scene
from servers import REGION, Server


@dataclass
class Faulty:
    """A tree whose S3 is behind a proxy, and the same S3 without it."""

    tree: Tree
    direct: Tree
    proxy: Proxy
    other_bucket: str

    def scene(self, kind: str) -> Witness:
        """The proxy counts from here on."""
        scene(self.tree, kind)
        self.proxy.requests.clear()
        return self.witness()

    def witness(self) -> Witness:
        return Witness(self.tree, remote=self.direct.remote, buckets=(self.tree.where.bucket, self.other_bucket))

    @property
    def victim(self) -> Location:
        return self.tree.where.location(ANNA, BAD)

    def body(self, location: Location | None = None) -> bytes:
        remote, at = self.direct.remote, location or self.victim
        return b"".join(remote.read(at, if_match=remote.head(at).etag).blocks)

    def put_in_parts(self, content: bytes, part_bytes: int) -> None:
        """An object that another program uploaded in parts: its ETag is not its MD5, and nobody has recorded that."""
        remote, at = self.direct.remote, self.victim
        assert isinstance(remote, S3Remote)
        send = partial(_sent, remote._session(), at)
        upload = ElementTree.fromstring(send("POST", (("uploads", ""),)).body)
        upload_id = next(element.text or "" for element in upload.iter() if element.tag.endswith("UploadId"))
        parts = ""
        for number, start in enumerate(range(0, len(content), part_bytes), 1):
            query = (("partNumber", str(number)), ("uploadId", upload_id))
            etag = send("PUT", query, content[start : start + part_bytes]).headers["etag"]
            parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        whole = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        send("POST", (("uploadId", upload_id),), whole.encode())

    def finishes(self, kind: str, witness: Witness) -> None:
        self.proxy.heal()
        finishes(self.tree, kind, witness)


def faulty_tree(root: Path, server: Server, through: Proxy) -> Faulty:
    bucket, other = (f"{kind}-{uuid.uuid4().hex[:12]}" for kind in ("ours", "theirs"))
    server.make_bucket(bucket)
    server.make_bucket(other)
    root.mkdir()
    (root / "callsheet.toml").write_text(f'bucket = "{bucket}"\nother_buckets = ["{other}"]\n')
    where = Layout(bucket=bucket, region=REGION, other_buckets=(other,))
    spoilt, direct = (S3Remote(REGION, endpoint_url=endpoint) for endpoint in (through.endpoint, server.endpoint))
    return Faulty(Tree(root, spoilt, where), Tree(root, direct, where), through, other)


def _sent(session: Session, at: Location, method: str, query: tuple[tuple[str, str], ...], body: bytes = b"") -> Answer:
    return session.send(Request("write", method, at.bucket, at.key, query=query, body=body))
