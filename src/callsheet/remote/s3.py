"""S3, and whatever speaks its language.

botocore knows credentials, configuration and signatures, urllib3 connections; the rest is here and beside: `session`
(retries, regions), `transport` (one exchange), `aws` (botocore), `failures` and `answers` (what came back).
"""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING

from callsheet.errors import (
    AccessDenied,
    BadDigest,
    BrokenListing,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
)
from callsheet.layout import endpoint_url, printable, s3_url
from callsheet.model import Location, RemoteObject
from callsheet.remote.answers import MD5_HEADER, read_head, read_page, unquoted
from callsheet.remote.failures import Refusal, Request, error_for
from callsheet.remote.names import check_bucket, check_location, check_text, is_md5, md5_to_base64, shown

if TYPE_CHECKING:
    from callsheet.remote.session import Session

_PAGE_KEYS = 1000


class S3Remote:
    """The `Remote` of Amazon S3 or of a compatible store.

    Credentials, profile, endpoint, addressing style, CA bundle and proxies are those of the standard AWS environment
    variables and files. They are read, and botocore and urllib3 imported, when the first request is made. Pickling keeps
    what the constructor was given and nothing else.
    """

    def __init__(self, region: str, *, anonymous: bool = False, endpoint_url: str | None = None) -> None:
        """`endpoint_url` goes before the configured one. `anonymous` signs nothing: for public buckets."""
        self._region = region
        self._anonymous = anonymous
        self._endpoint_url = endpoint_url
        self._lock = threading.Lock()
        self._opened: Session | None = None

    def __reduce__(self) -> tuple[Callable[[], S3Remote], tuple[()]]:
        return partial(S3Remote, self._region, anonymous=self._anonymous, endpoint_url=self._endpoint_url), ()

    def list(self, bucket: str, prefix: str) -> Iterator[RemoteObject]:
        check_bucket(bucket)
        check_text(prefix)
        after, token = "", ""
        tokens: set[str] = set()
        while True:
            request = Request("list", "GET", bucket, query=_list_query(prefix, token), place=prefix)
            page = read_page(self._session().send(request).body, bucket, prefix, after)
            yield from page.objects
            token = page.token
            if not token:
                return
            if token in tokens:
                raise BrokenListing(f"The listing of s3://{bucket}/{printable(prefix)} goes in circles")
            tokens.add(token)
            after = page.objects[-1].location.key

    def head(self, location: Location) -> RemoteObject:
        check_location(location)
        request = Request("look at", "HEAD", location.bucket, location.key, headers={"x-amz-checksum-mode": "ENABLED"})
        try:
            answer = self._session().send(request)
        except RemoteError as refused:
            if refused.s3_code or refused.status not in (400, 403, 404):
                raise
            explained = self._explained(request, refused)
            if explained is refused:
                raise
            raise explained from refused
        return read_head(location, answer.headers)

    def read(self, location: Location, *, if_match: str) -> Iterator[bytes]:
        from callsheet.remote.download import read_object

        check_location(location)
        yield from read_object(self._session(), location, if_match)

    def put(self, location: Location, body: bytes, *, md5: str) -> RemoteObject:
        check_location(location)
        if not is_md5(md5):
            raise BadDigest(f"Cannot write {shown(location)}: {md5!r} is no MD5")
        digest = md5_to_base64(md5)
        content_type = _content_types().guess_type(location.key.rpartition("/")[2])[0] or "application/octet-stream"
        headers = {"Content-MD5": digest, MD5_HEADER: digest, "Content-Type": content_type}
        answer = self._session().send(
            Request("write", "PUT", location.bucket, location.key, headers=headers, body=body)
        )
        # Only a HEAD tells the time that later listings will, and whether the ETag is an MD5.
        stored = self.head(location)
        if stored.etag != unquoted(answer.headers.get("etag", stored.etag)):
            raise ObjectChanged(f"{shown(location)} was overwritten as soon as it was written", hint="Sync again")
        if stored.size_bytes != len(body) or (stored.etag_is_md5 and stored.etag != md5):
            raise BadDigest(f"The store holds other bytes for {shown(location)} than it was sent", hint="Push it again")
        return stored

    def delete(self, location: Location) -> None:
        check_location(location)
        try:
            self._session().send(Request("delete", "DELETE", location.bucket, location.key))
        except NoSuchObject:
            return

    def url(self, location: Location) -> str:
        """Amazon's URL for the configured region, or the path-style one of a configured endpoint. No request is made."""
        endpoint = self._session().endpoint
        return endpoint_url(location, endpoint) if endpoint else s3_url(location, self._region)

    def _session(self) -> Session:
        if self._opened is not None:
            return self._opened
        from callsheet.remote.session import Session

        with self._lock:
            if self._opened is None:
                self._opened = Session(self._region, anonymous=self._anonymous, endpoint_url=self._endpoint_url)
            return self._opened

    def _explained(self, request: Request, refused: RemoteError) -> RemoteError:
        """The error behind a refused HEAD, whose answer has no body and so no code: a listing's refusal has one."""
        query = (("list-type", "2"), ("max-keys", "1"), ("prefix", request.key))
        probe = Request(request.verb, "GET", request.bucket, query=query, place=request.key)
        absent = error_for(request, Refusal(404, "NoSuchKey"))
        try:
            self._session().send(probe)
        except AccessDenied as told:
            # Whoever may not list is told 403 for a missing key, but 404 if the bucket's policy says so.
            if told.s3_code not in ("", "AccessDenied"):
                return told
        except RemoteError as told:
            return told
        return absent if refused.status == 404 else refused


def _list_query(prefix: str, token: str) -> tuple[tuple[str, str], ...]:
    query = {"list-type": "2", "encoding-type": "url", "max-keys": str(_PAGE_KEYS), "prefix": prefix}
    if token:
        query["continuation-token"] = token
    return tuple(query.items())


@cache
def _content_types() -> mimetypes.MimeTypes:
    """The standard library's, with the image types that older versions of it lack."""
    types = mimetypes.MimeTypes()
    types.add_type("image/webp", ".webp")
    types.add_type("image/avif", ".avif")
    return types
