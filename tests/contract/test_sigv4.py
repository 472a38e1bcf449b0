"""Our signatures are botocore's, and a server that checks them takes them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from urllib.parse import parse_qsl, quote

import pytest
import urllib3
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from callsheet.errors import AccessDenied
from callsheet.model import Location
from callsheet.remote.s3 import S3Remote
from callsheet.remote.sigv4 import Keys, presigned_query, signed
from servers import REGION, Server

HOST = "bucket.s3.eu-west-3.amazonaws.com"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30)
names = st.sampled_from(
    ["If-Match", "If-None-Match", "Range", "Content-MD5", "Content-Type", "x-amz-copy-source", "x-amz-meta-md5chksum"]
)


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    key=texts,
    query=st.dictionaries(st.sampled_from(["prefix", "uploadId", "partNumber", "list-type", "uploads"]), texts),
    headers=st.dictionaries(names, printable),
    token=st.sampled_from(["", "token/with+odd=characters"]),
    region=st.sampled_from(["us-west-1", "eu-west-3"]),
)
@example("GET", "a//b/../c d+e%2F~é", {}, {"If-Match": '  "a   b"  '}, "", "us-west-1")
def test_a_signature_is_botocores(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], token: str, region: str
) -> None:
    path = "/" + quote(key, safe="/")
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
    sent = {**headers, "Host": HOST, "User-Agent": "callsheet", "Content-Length": "0"}
    request = AWSRequest(
        method=method, url=f"https://{HOST}{path}?{asked}" if asked else f"https://{HOST}{path}", headers=sent
    )
    request.context["client_config"] = SimpleNamespace(s3={"payload_signing_enabled": False})
    S3SigV4Auth(Credentials("access", "secret", token or None), "s3", region).add_auth(request)
    keys = Keys("access", "secret", token)
    ours = signed(method, path, asked, sent, keys=keys, region=region, at=request.context["timestamp"])
    assert ours == dict(request.headers.items())


@given(
    key=texts,
    query=st.dictionaries(st.sampled_from(["response-content-type", "response-content-disposition"]), printable),
    token=st.sampled_from(["", "token/with+odd=characters"]),
    region=st.sampled_from(["us-west-1", "eu-west-3"]),
    expires_s=st.integers(1, 900),
)
def test_a_presigned_url_is_botocores(key: str, query: dict[str, str], token: str, region: str, expires_s: int) -> None:
    path = "/" + quote(key, safe="/")
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(query.items()))
    request = AWSRequest(method="GET", url=f"https://{HOST}{path}?{asked}" if asked else f"https://{HOST}{path}")
    S3SigV4QueryAuth(Credentials("access", "secret", token or None), "s3", region, expires=expires_s).add_auth(request)
    keys, at = Keys("access", "secret", token), request.context["timestamp"]
    ours = presigned_query(HOST, path, query, keys=keys, region=region, at=at, expires_s=expires_s)
    theirs = request.url.removeprefix(f"https://{HOST}{path}?")
    assert sorted(parse_qsl(ours, strict_parsing=True)) == sorted(parse_qsl(theirs, strict_parsing=True))


def get(url: str) -> urllib3.BaseHTTPResponse:
    """What anybody is answered, who knows nothing but the URL."""
    with urllib3.PoolManager() as http:
        return http.request("GET", url, retries=False)


@pytest.mark.parametrize("server", ["ministack_server", "rclone_server"])
@pytest.mark.parametrize("key", ["a.jpg", "a b/c+d%25~é.jpg", "q?#&=x;:@,!*'().jpg"])
def test_whoever_has_a_presigned_url_gets_the_object(request: pytest.FixtureRequest, server: str, key: str) -> None:
    running: Server = request.getfixturevalue(server)
    place = Location(running.make_bucket(f"presigned-{time.time_ns()}"), key)
    remote = S3Remote(REGION, endpoint_url=running.endpoint)
    remote.put(place, b"bytes", md5="4b3a6218bb3e3a7303e8a171a60fcf92")
    url = remote.presigned(place, expires_s=60, content_type="image/avif")
    assert url is not None
    assert url.startswith(f"{remote.origin(place.bucket)}/")
    answer = get(url)
    assert (answer.status, answer.data) == (200, b"bytes")
    if server == "ministack_server":  # the other has no such wishes
        assert answer.headers["Content-Type"] == "image/avif"
        assert answer.headers["Content-Disposition"] == "inline"


@pytest.mark.parametrize("server", ["ministack_server", "rclone_server"])
def test_a_presigned_url_is_for_its_object_and_time_only(request: pytest.FixtureRequest, server: str) -> None:
    running: Server = request.getfixturevalue(server)
    bucket = running.make_bucket(f"presigned-{time.time_ns()}")
    remote = S3Remote(REGION, endpoint_url=running.endpoint)
    for key in ("a.jpg", "b.jpg"):
        remote.put(Location(bucket, key), b"bytes", md5="4b3a6218bb3e3a7303e8a171a60fcf92")
    url = remote.presigned(Location(bucket, "a.jpg"), expires_s=60, content_type="image/jpeg") or ""
    assert get(url).status == 200
    assert get(url.replace("/a.jpg", "/b.jpg")).status == 403
    assert get(url.replace("X-Amz-Expires=60", "X-Amz-Expires=600")).status == 403


def test_a_store_that_signs_nothing_has_plain_urls() -> None:
    remote = S3Remote(REGION, anonymous=True, endpoint_url="https://s3.example:8443/base/")
    url = remote.presigned(Location("bucket", "a b.jpg"), expires_s=60, content_type="image/jpeg")
    assert url == "https://s3.example:8443/base/bucket/a%20b.jpg"
    assert remote.origin("bucket") == "https://s3.example:8443"


def test_a_presigned_url_holds_no_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    remote = S3Remote(REGION, endpoint_url="https://s3.example")
    url = remote.presigned(Location("bucket", "a.jpg"), expires_s=900, content_type="image/jpeg")
    assert "X-Amz-Signature=" in str(url)
    assert "canary" not in f"{url} {remote!r} {remote._session()!r}"


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(Keys("access", "secret", "secret token"))


@pytest.mark.parametrize("key", ["a.jpg", "a b/c+d%25~é.jpg", "q?#&=x;:@,!*'().jpg", "\x01\x7f.jpg"])
def test_a_server_that_checks_signatures_takes_ours(rclone_server: Server, key: str) -> None:
    bucket = rclone_server.make_bucket(f"signed-{time.time_ns()}")
    remote = S3Remote(REGION, endpoint_url=rclone_server.endpoint)
    remote.put(Location(bucket, key), b"bytes", md5="4b3a6218bb3e3a7303e8a171a60fcf92")
    assert [one.location.key for one in remote.list(bucket, key)] == [key]


def test_a_wrong_key_is_refused(rclone_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = rclone_server.make_bucket(f"signed-{time.time_ns()}")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(AccessDenied):
        list(S3Remote(REGION, endpoint_url=rclone_server.endpoint).list(bucket, ""))
