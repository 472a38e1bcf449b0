"""Requests to S3 that are addressed, signed, sent, retried and understood: the one layer that retries."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from urllib.parse import quote

from callsheet import system
from callsheet.errors import NoCredentials, RemoteError, Unreachable
from callsheet.model import Location
from callsheet.remote import bodies
from callsheet.remote.aws import Aws, checked_endpoint
from callsheet.remote.budget import RETRY_COST, TIMEOUT_COST, Budget
from callsheet.remote.dial import READ_TIMEOUT_S
from callsheet.remote.failures import Refusal, Request, error_for, is_error, read_refusal
from callsheet.remote.reply import NO_MEMORY
from callsheet.remote.sigv4 import presigned_query, signed
from callsheet.remote.transport import (
    FIRST_READ_TIMEOUT_S,
    Again,
    Answer,
    Lost,
    Stream,
    Transport,
    authority,
)

ATTEMPTS = 4
THROTTLED_ATTEMPTS = 7
_BACKOFF_S = 0.4
_QUICK_BACKOFF_S = 0.05
_MAX_BACKOFF_S = 10.0
_MAX_RETRY_AFTER_S = 20.0
_SECONDS = len("2026-11-27T12:00:00")
_MOVED_STATUSES = (301, 307, 400)


def pause(seconds: float) -> None:
    """Wait between two attempts."""
    system.sleep(seconds)


class Session:
    """Connections, credentials and what was learned of buckets. Safe to use from many threads."""

    def __init__(self, region: str, *, anonymous: bool, endpoint_url: str | None) -> None:
        """Reads the AWS configuration, asks nobody. Raises `RemoteError` if it cannot be used."""
        self._region = region
        self._aws = Aws(endpoint_url, anonymous=anonymous)
        custom = self._aws.endpoint.custom
        self.endpoint = checked_endpoint(custom) if custom else None
        self._transport = Transport(self._aws.endpoint.ca_bundle)
        self._budget = Budget()
        self._hosts: dict[str, str] = {}
        self._regions: dict[str, str] = {}
        self._met: set[str] = set()
        self._lock = threading.Lock()

    def send(self, request: Request) -> Answer:
        """The answer to a request that succeeded (2xx). Raises the `RemoteError` that its failure means, once retrying is over."""
        return self._retried(request, stream=False)

    def stream(self, request: Request) -> tuple[Mapping[str, str], Stream]:
        """As `send`, with the headers and a body that is still to be read."""
        answer = self._retried(request, stream=True)
        if answer.stream is None:
            raise AssertionError("a streamed success holds its stream")
        return answer.headers, answer.stream

    def presigned(self, location: Location, expires_s: int, content_type: str) -> str:
        """A URL by which anybody may GET an object until it expires. `NoCredentials` if there is nothing to sign it with."""
        region, keys = self._region_of(location.bucket), self._aws.keys()
        base, path = self._address(location.bucket, location.key, region)
        url = f"{_origin(base)}{path}"
        if keys is None:  # S3 takes no wishes from whoever does not say who they are
            return url
        wishes = {"response-content-disposition": "inline", "response-content-type": content_type}
        query = presigned_query(authority(base), path, wishes, keys=keys, region=region, at=_now(), expires_s=expires_s)
        return f"{url}?{query}"

    def origin(self, bucket: str) -> str:
        """Scheme, host and port of the URLs of a bucket's objects."""
        base, _ = self._address(bucket, "", self._region_of(bucket))
        return _origin(base)

    def lost(self, request: Request, loss: Lost) -> Unreachable:
        """The error for an exchange that is not tried again."""
        at = authority(self._address(request.bucket, request.key, self._region_of(request.bucket))[0])
        return Unreachable(f"Cannot {request.task}: {loss} (at {at})", hint=loss.hint)

    def retries(self, loss: Lost, attempt: int) -> bool:
        """Whether to begin anew after the `attempt`-th loss; a pause was made then. For losses after a success, which `send` cannot see."""
        if attempt >= ATTEMPTS or loss.again is Again.NO or not self._budget.take(RETRY_COST):
            return False
        pause(backoff_s(attempt))
        return True

    def _retried(self, request: Request, *, stream: bool) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._located(request, stream=stream)
            except Lost as loss:
                if attempt >= ATTEMPTS or not self._worth_retrying(request, loss, attempt):
                    raise self.lost(request, loss) from loss
                pause(backoff_s(attempt, _QUICK_BACKOFF_S if loss.again is Again.ONCE else _BACKOFF_S))
                continue
            if answer.status < 300 and not (request.slow and is_error(answer.body)):
                self._budget.give()
                return answer
            refusal = read_refusal(answer.status, answer.headers, answer.body)
            attempts = THROTTLED_ATTEMPTS if refusal.throttling else ATTEMPTS
            if attempt >= attempts or not refusal.passing or not self._budget.take(RETRY_COST):
                raise self._refused(request, refusal)
            pause(_retry_after_s(answer) or backoff_s(attempt))

    def _located(self, request: Request, *, stream: bool) -> Answer:
        """One exchange; a second one if the first taught us the bucket's region."""
        tried = self._region_of(request.bucket)
        answer = self._exchange(request, tried, stream=stream)
        if answer.status in _MOVED_STATUSES:
            region = read_refusal(answer.status, answer.headers, answer.body).region
            if region and region != tried:
                self._regions[request.bucket] = region
                return self._exchange(request, region, stream=stream)
        return answer

    def _exchange(self, request: Request, region: str, *, stream: bool) -> Answer:
        base, path = self._address(request.bucket, request.key, region)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(request.query))
        target = f"{path}?{query}" if query else path
        host = authority(base)
        headers = {**request.headers, "Host": host, "User-Agent": "callsheet"}
        if request.body is not None:
            headers["Content-Length"] = str(bodies.size_of(request.body))
        keys = self._aws.keys()
        if keys is not None:
            headers = signed(request.method, path, query, headers, keys=keys, region=region, at=_now())
        timeout_s = READ_TIMEOUT_S if host in self._met else FIRST_READ_TIMEOUT_S
        plain = base.startswith("http://")
        with bodies.sendable(request.body, Location(request.bucket, request.key), plain=plain) as body:
            answer = self._transport.exchange(
                request.method,
                base,
                target,
                headers,
                body,
                read_timeout_s=timeout_s,
                stream=stream,
                into=NO_MEMORY if request.into is None else request.into,
            )
        self._met.add(host)
        return answer

    def _worth_retrying(self, request: Request, loss: Lost, attempt: int) -> bool:
        if loss.again is Again.IF_ALIVE:
            return self._budget.take(TIMEOUT_COST) and self._alive(request)
        worth = loss.again is Again.YES or (loss.again is Again.ONCE and attempt == 1)
        return worth and self._budget.take(RETRY_COST)

    def _alive(self, request: Request) -> bool:
        """Whether the host answers anything at all; if so, it is given more time."""
        base, _ = self._address(request.bucket, request.key, self._region_of(request.bucket))
        host = authority(base)
        try:
            self._transport.exchange(
                "HEAD",
                base,
                "/",
                {"Host": host, "User-Agent": "callsheet"},
                None,
                read_timeout_s=FIRST_READ_TIMEOUT_S,
                stream=False,
            )
        except Lost:
            return False
        self._met.add(host)
        return True

    def _refused(self, request: Request, refusal: Refusal) -> RemoteError:
        error = error_for(request, refusal)
        if isinstance(error, NoCredentials):
            self._aws.forget_credentials()
        return error

    def _region_of(self, bucket: str) -> str:
        return self._regions.get(bucket, self._region)

    def _address(self, bucket: str, key: str, region: str) -> tuple[str, str]:
        """(scheme, host and port; path): virtual-hosted on AWS, path-style at other endpoints and for buckets with dots."""
        path = "/" + quote(key, safe="/")
        style = self._aws.endpoint.addressing
        scheme, _, rest = (self.endpoint or f"https://{self._aws_host(region)}").partition("://")
        host, slash, start = rest.partition("/")
        nameable = bucket == bucket.lower() and "_" not in bucket and "." not in bucket
        if nameable and (style == "virtual" or (style != "path" and self.endpoint is None)):
            return f"{scheme}://{bucket}.{host}", f"{slash}{start}{path}"
        return f"{scheme}://{host}", f"{slash}{start}/{bucket}{path if key else ''}"

    def _aws_host(self, region: str) -> str:
        with self._lock:
            if region not in self._hosts:
                self._hosts[region] = self._aws.host(region)
            return self._hosts[region]


def _origin(base: str) -> str:
    return f"{base.partition('://')[0]}://{authority(base)}"


def _now() -> str:
    return f"{system.now().isoformat(timespec='seconds')[:_SECONDS].replace('-', '').replace(':', '')}Z"


def backoff_s(attempt: int, base_s: float = _BACKOFF_S) -> float:
    """How long to pause after a number of attempts: full jitter, so that many threads do not come back at once."""
    return system.uniform(0, min(base_s * 2**attempt, _MAX_BACKOFF_S))


def _retry_after_s(answer: Answer) -> float:
    """The pause that the store asks for, bounded; 0 if it asks for none (or names a date, which S3 does not)."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), _MAX_RETRY_AFTER_S) if text.isascii() and text.isdigit() else 0.0
