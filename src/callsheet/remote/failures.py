"""What a request was, and what its failure means: HTTP statuses and S3 error codes as errors of ours.

Rules of this module: no I/O. A message names bucket and key, never a query, a header or a server's own prose, which may
echo what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree

from callsheet.errors import (
    AccessDenied,
    BadDigest,
    NoCredentials,
    NoSuchBucket,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    Unreachable,
)
from callsheet.layout import printable
from callsheet.remote.contract import Source

_LOG_IN = "Log in again (`aws sso login`, or renew the temporary credentials) and repeat"
_CHECK_KEY = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in AWS_PROFILE"
_CHECK_BUCKET = "Check the bucket's name, and AWS_ENDPOINT_URL_S3 if the store is not Amazon's"
_CHECK_ENDPOINT = "Check AWS_ENDPOINT_URL_S3 and the region"
_CHECK_RIGHTS = (
    "Ask for s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject on the bucket, or use another AWS_PROFILE"
)
_LATER = "Repeat later"

# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_CODES: Mapping[str, tuple[type[RemoteError], str, str]] = {
    "AccessDenied": (AccessDenied, "access denied", _CHECK_RIGHTS),
    "AllAccessDisabled": (AccessDenied, "all access to it is disabled", _CHECK_RIGHTS),
    "AccountProblem": (AccessDenied, "there is a problem with the AWS account", "Ask the account's owner"),
    "InvalidObjectState": (AccessDenied, "the object is archived", "Restore it from Glacier first"),
    "InvalidAccessKeyId": (AccessDenied, "the store does not know the access key", _CHECK_KEY),
    "SignatureDoesNotMatch": (AccessDenied, "the secret key does not fit the access key", _CHECK_KEY),
    "RequestTimeTooSkewed": (AccessDenied, "the clocks differ too much", "Set this machine's clock and repeat"),
    "ExpiredToken": (NoCredentials, "the credentials have expired", _LOG_IN),
    "ExpiredTokenException": (NoCredentials, "the credentials have expired", _LOG_IN),
    "TokenRefreshRequired": (NoCredentials, "the credentials have expired", _LOG_IN),
    "InvalidToken": (NoCredentials, "the session token is not valid", _LOG_IN),
    "NoSuchBucket": (NoSuchBucket, "there is no such bucket", _CHECK_BUCKET),
    "InvalidBucketName": (NoSuchBucket, "that is no bucket's name", _CHECK_BUCKET),
    "NoSuchKey": (NoSuchObject, "there is no such object", ""),
    "PreconditionFailed": (ObjectChanged, "the object has changed meanwhile", "Sync again"),
    "ConditionalRequestConflict": (ObjectChanged, "the object is being changed by someone else", "Sync again"),
    "BadDigest": (BadDigest, "the bytes that arrived are not those that were announced", "Sync again: the file may have changed"),
    "InvalidDigest": (BadDigest, "the announced MD5 is not valid", "Sync again: the file may have changed"),
    "SlowDown": (Unreachable, "the store asks to slow down", _LATER),
    "KeyTooLongError": (RemoteError, "the key is longer than 1024 bytes", "Rename the file"),
    "NotImplemented": (RemoteError, "the store cannot do that", ""),
}  # fmt: skip

_STATUSES: Mapping[int, tuple[type[RemoteError], str, str]] = {
    401: _CODES["AccessDenied"],
    403: _CODES["AccessDenied"],
    412: _CODES["PreconditionFailed"],
}

_PASSING_STATUSES = frozenset({429, 500, 502, 503, 504})
_PASSING_CODES = frozenset(
    {
        "RequestTimeout", "RequestTimeoutException", "SlowDown", "Throttling", "InternalError",
        "ConditionalRequestConflict", "OperationAborted",
    }
)  # fmt: skip
_THROTTLING_CODES = frozenset({"SlowDown", "Throttling"})
_CODE_FORM = re.compile(r"[A-Za-z0-9.]{1,64}", re.ASCII)
_OTHER_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml[^>]*\sencoding\s*=\s*["'](?!utf-8["'])""", re.IGNORECASE)
_REGION_FORM = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as S3 means it, before it is addressed and signed. `verb` is the word for it in a message.

    `slow` is one that S3 answers with 200 before it is done, so that its failure may stand in the body of a success. The body of a success may
    come `into` memory.
    """

    verb: str
    method: str
    bucket: str
    key: str = ""
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Source | None = None
    place: str = ""
    slow: bool = False
    into: memoryview | None = None

    @property
    def task(self) -> str:
        return f"{self.verb} s3://{printable(self.bucket)}/{printable(self.place or self.key)}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success. `code` and `region` are empty where it did not say."""

    status: int
    code: str = ""
    region: str = ""

    @property
    def throttling(self) -> bool:
        """Whether the store does nothing but ask for patience."""
        return self.status == 429 or self.code in _THROTTLING_CODES

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.status in _PASSING_STATUSES or self.code in _PASSING_CODES


def read_refusal(status: int, headers: Mapping[str, str], body: bytes) -> Refusal:
    """The error code of an XML body, and the region that header or body say the bucket is in."""
    said: dict[str, str] = {}
    try:
        root = parse_xml(body.strip())
    except ElementTree.ParseError:
        root = None
    if root is not None and local_name(root) == "Error":
        said = {local_name(child): child.text or "" for child in root}
    code, region = said.get("Code", ""), headers.get("x-amz-bucket-region") or said.get("Region", "")
    return Refusal(
        status,
        code if _CODE_FORM.fullmatch(code) else "",
        region if _REGION_FORM.fullmatch(region) else "",
    )


def is_error(body: bytes) -> bool:
    """Whether the body of a success tells of a failure, or of nothing: S3 keeps a connection alive with blanks before."""
    try:
        return local_name(parse_xml(body.strip())) == "Error"
    except ElementTree.ParseError:
        return True


def error_for(request: Request, refusal: Refusal) -> RemoteError:
    """The error that a final refusal stands for."""
    status, code = refusal.status, refusal.code
    known = _CODES.get(code) or (_STATUSES.get(status) if not code or status in (401, 403) else None)
    if known is not None:
        kind, reason, hint = known
    elif refusal.passing:
        kind, reason, hint = Unreachable, "the store keeps failing", _LATER
    elif refusal.region:
        kind, reason, hint = (
            RemoteError,
            f"the bucket is in region {refusal.region}",
            f"Set the region to {refusal.region}",
        )
    elif not code:
        kind, reason, hint = RemoteError, "that is no answer of an S3 store", _CHECK_ENDPOINT
    else:
        kind, reason, hint = RemoteError, "the store refused", "Look up the code in the store's documentation"
    return kind(
        f"Cannot {request.task}: {reason} ({f'{status} {code}'.strip()})", hint=hint, status=status, s3_code=code
    )


def parse_xml(body: bytes) -> ElementTree.Element:
    """The document's root. A document type, which S3 never sends, is refused: entities can be made to explode.

    So is what is not UTF-8, where one would go unseen: UTF-16 is recognised whatever it says of itself, and has NULs.
    """
    if b"<!DOCTYPE" in body or b"\0" in body or _OTHER_ENCODING.match(body):
        raise ElementTree.ParseError("document type, or not UTF-8")
    return ElementTree.fromstring(body)  # noqa: S314 - no document type, so no entities


def local_name(element: ElementTree.Element) -> str:
    """The tag without its namespace, which stores of other makers leave out."""
    return element.tag.rpartition("}")[2]
