"""Our signatures are botocore's, and a server that checks them takes them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import example, given
from hypothesis import strategies as st

from callsheet.errors import AccessDenied
from callsheet.model import Location
from callsheet.remote.s3 import S3Remote
from callsheet.remote.sigv4 import Keys, signed
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
