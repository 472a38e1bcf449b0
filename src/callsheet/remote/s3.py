"""S3, and whatever speaks its language.

botocore knows credentials and configuration, urllib3 connections; the rest is here and beside, from the top: `looking`, `download`,
`writing`, `copying` and `multipart` (what is asked of S3), `session` (retries, regions), `transport` (one exchange), `sigv4`
and `aws` (signatures, configuration), `failures`, `answers` and `conditions` (what came back, and what was learnt from it).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from callsheet.errors import BrokenListing
from callsheet.layout import endpoint_url, printable, s3_url
from callsheet.model import Location, RemoteObject
from callsheet.remote.conditions import Heeded
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from callsheet.remote.failures import Request
from callsheet.remote.names import check_bucket, check_expiry, check_location, check_text, within

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
        self._heeded = Heeded()

    def __reduce__(self) -> tuple[Callable[[], S3Remote], tuple[()]]:
        return partial(S3Remote, self._region, anonymous=self._anonymous, endpoint_url=self._endpoint_url), ()

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        from callsheet.remote.answers import read_page

        check_bucket(bucket)
        check_text(prefix)
        last, token = "", ""
        tokens: set[str] = set()
        while True:
            request = Request("list", "GET", bucket, query=_list_query(prefix, token, after), place=prefix)
            page = read_page(self._session().send(request).body, bucket, prefix, last)
            yield from _between(page.objects, after, before)
            token = page.token
            if not token or (before and page.objects[-1].location.key >= before):
                return
            if token in tokens:
                raise BrokenListing(f"The listing of s3://{bucket}/{printable(prefix)} goes in circles")
            tokens.add(token)
            last = page.objects[-1].location.key

    def head(self, location: Location) -> RemoteObject:
        from callsheet.remote.looking import head

        check_location(location)
        return head(self._session(), location)

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:
        from callsheet.remote.download import read_object

        check_location(location)
        return read_object(self._session(), location, if_match, into)

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        from callsheet.remote.writing import put

        check_location(location)
        return put(self._session(), self._heeded, location, body, md5=md5, replaces=replaces)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        from callsheet.remote.copying import copy

        check_location(source)
        check_location(target)
        return copy(self._session(), self._heeded, source, target, if_match=if_match, replaces=replaces)

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        from callsheet.remote.writing import delete

        check_location(location)
        delete(self._session(), self._heeded, location, if_match=if_match)

    def notes(self) -> tuple[str, ...]:
        return self._heeded.notes()

    def url(self, location: Location) -> str:
        """Amazon's URL for the configured region, or the path-style one of a configured endpoint. No request is made."""
        endpoint = self._session().endpoint
        return endpoint_url(location, endpoint) if endpoint else s3_url(location, self._region)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:
        """Signed for the region that is configured, or that an answer told; credentials that expire sooner end it sooner."""
        check_location(location)
        check_expiry(expires_s)
        return self._session().presigned(location, expires_s, content_type)

    def origin(self, bucket: str) -> str | None:
        check_bucket(bucket)
        return self._session().origin(bucket)

    def _session(self) -> Session:
        if self._opened is not None:
            return self._opened
        from callsheet.remote.session import Session

        with self._lock:
            if self._opened is None:
                self._opened = Session(self._region, anonymous=self._anonymous, endpoint_url=self._endpoint_url)
            return self._opened


def _between(objects: tuple[RemoteObject, ...], after: str, before: str) -> Sequence[RemoteObject]:
    """Those within the bounds. A page mostly is, from end to end; but it goes on past `before`, and a store may not heed `after`."""
    if objects and within(objects[0].location.key, after, before) and within(objects[-1].location.key, after, before):
        return objects
    return [listed for listed in objects if within(listed.location.key, after, before)]


def _list_query(prefix: str, token: str, after: str) -> tuple[tuple[str, str], ...]:
    query = {"list-type": "2", "encoding-type": "url", "max-keys": str(_PAGE_KEYS), "prefix": prefix}
    if token:
        query["continuation-token"] = token
    elif after:
        query["start-after"] = after
    return tuple(query.items())
