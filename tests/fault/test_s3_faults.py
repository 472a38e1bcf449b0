"""S3 when things go wrong: every failure is named for what it is, soon enough, and passing ones pass unseen."""

from __future__ import annotations

import hashlib
import inspect
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import botocore.exceptions  # type: ignore[import-untyped]
import pytest
import urllib3.exceptions

from callsheet.errors import (
    AccessDenied,
    BadDigest,
    BrokenListing,
    NoCredentials,
    NoSuchBucket,
    NoSuchObject,
    ObjectChanged,
    RemoteError,
    Unreachable,
)
from callsheet.model import Evidence, Location
from callsheet.remote import session
from callsheet.remote.s3 import S3Remote
from callsheet.remote.transport import FOREIGN, Lost, lost
from faults import FaultServer, Reply, Seen, black_hole, fault_server
from servers import ACCESS_KEY, REGION, SECRET_KEY, Server, free_port

BODY = bytes(range(256)) * 1000
MD5 = hashlib.md5(BODY).hexdigest()
PLACE = Location("bucket", "folder/a.jpg")
TOKEN = "session-token-canary"
HEAD = {"ETag": f'"{MD5}"', "Content-Length": str(len(BODY)), "Last-Modified": "Sat, 01 Mar 2025 10:00:00 GMT"}


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in Server("http://127.0.0.1:1").env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are noted and not made."""
    noted: list[float] = []
    monkeypatch.setattr(session, "pause", noted.append)
    return noted


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def remote(server: FaultServer, pauses: list[float]) -> S3Remote:
    return S3Remote(REGION, endpoint_url=server.endpoint)


def error(status: int, code: str = "", more: str = "", **headers: str) -> Reply:
    """An S3 error, prose and all: it says what a careless server may say."""
    prose = f"<Message>{SECRET_KEY} {TOKEN}</Message><Token-0>{TOKEN}</Token-0>"
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code>{prose}{more}</Error>" if code else ""
    return Reply(status, body.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


def page(*keys: str, token: str = "", truncated: str | None = None, extra: str = "") -> Reply:
    contents = "".join(
        f"<Contents><Key>{key}</Key><Size>1</Size><ETag>&quot;{MD5}&quot;</ETag>"
        "<LastModified>2025-03-01T10:00:00.500Z</LastModified></Contents>"
        for key in keys
    )
    goes_on = truncated or ("true" if token else "false")
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = f"<ListBucketResult><IsTruncated>{goes_on}</IsTruncated>{more}{extra}{contents}</ListBucketResult>"
    return Reply(200, body.encode())


def listed(remote: S3Remote, prefix: str = "") -> list[str]:
    return [one.location.key for one in remote.list("bucket", prefix)]


def read(remote: S3Remote) -> bytes:
    return b"".join(remote.read(PLACE, if_match=MD5).blocks)


OPERATIONS: dict[str, Callable[[S3Remote], object]] = {
    "list": listed,
    "read": read,
    "put": lambda remote: remote.put(PLACE, BODY, md5=MD5),
    "delete": lambda remote: remote.delete(PLACE),
}
ALL_OPERATIONS: dict[str, Callable[[S3Remote], object]] = {**OPERATIONS, "head": lambda remote: remote.head(PLACE)}
CODES = (
    (403, "AccessDenied", AccessDenied, "s3:GetObject"),
    (403, "", AccessDenied, "s3:GetObject"),
    (401, "", AccessDenied, ""),
    (403, "SomethingNew", AccessDenied, ""),
    (403, "InvalidAccessKeyId", AccessDenied, "AWS_ACCESS_KEY_ID"),
    (403, "SignatureDoesNotMatch", AccessDenied, "AWS_SECRET_ACCESS_KEY"),
    (403, "RequestTimeTooSkewed", AccessDenied, "clock"),
    (403, "InvalidObjectState", AccessDenied, "Glacier"),
    (400, "ExpiredToken", NoCredentials, "Log in again"),
    (400, "InvalidToken", NoCredentials, "Log in again"),
    (404, "NoSuchBucket", NoSuchBucket, "AWS_ENDPOINT_URL_S3"),
    (412, "PreconditionFailed", ObjectChanged, "Sync again"),
    (400, "BadDigest", BadDigest, "Sync again"),
    (400, "KeyTooLongError", RemoteError, "Rename"),
    (501, "NotImplemented", RemoteError, ""),
    (404, "", RemoteError, "AWS_ENDPOINT_URL_S3"),
    (302, "", RemoteError, "AWS_ENDPOINT_URL_S3"),
    (418, "Teapot", RemoteError, ""),
)  # fmt: skip


@pytest.mark.parametrize(("status", "code", "kind", "hint"), CODES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_is_named_at_once(
    server: FaultServer, remote: S3Remote, operation: str, status: int, code: str, kind: type[RemoteError], hint: str
) -> None:
    server.rule = lambda seen: error(status, code)
    with pytest.raises(RemoteError) as caught:
        OPERATIONS[operation](remote)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.s3_code) == (status, code)
    assert "s3://bucket/" in str(caught.value)
    assert hint in caught.value.hint
    assert len(server.seen) == (2 if (operation, status) == ("read", 412) else 1)


@pytest.mark.parametrize(
    ("head", "probe", "kind"),
    [
        (404, page("other"), NoSuchObject),
        (404, error(403, "AccessDenied"), NoSuchObject),
        (404, error(404, "NoSuchBucket"), NoSuchBucket),
        (404, error(404), RemoteError),
        (404, error(403, "InvalidAccessKeyId"), AccessDenied),
        (404, error(500, "InternalError"), Unreachable),
        (403, page("other"), AccessDenied),
        (403, error(403, "AccessDenied"), AccessDenied),
        (400, error(400, "ExpiredToken"), NoCredentials),
        (400, page("other"), RemoteError),
    ],
)
def test_a_head_has_no_code_so_the_bucket_is_asked(
    server: FaultServer, remote: S3Remote, head: int, probe: Reply, kind: type[RemoteError]
) -> None:
    server.rule = lambda seen: Reply(head) if seen.method == "HEAD" else probe
    with pytest.raises(RemoteError) as caught:
        remote.head(PLACE)
    assert type(caught.value) is kind
    assert "s3://bucket/folder/a.jpg" in str(caught.value)


@pytest.mark.parametrize(
    "trouble", [error(500, "InternalError"), error(503), error(429), Reply(hang_up=True), error(400, "RequestTimeout")]
)
@pytest.mark.parametrize("times", [1, 3])
def test_what_passes_is_retried(
    server: FaultServer, remote: S3Remote, pauses: list[float], trouble: Reply, times: int
) -> None:
    server.script(*[trouble] * times, page("a"))
    assert listed(remote) == ["a"]
    assert len(pauses) == times
    assert all(0 <= pause <= 5 for pause in pauses)


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [
        (error(500, "InternalError"), session.ATTEMPTS),
        (error(503, "SlowDown"), session.THROTTLED_ATTEMPTS),
        (error(429), session.THROTTLED_ATTEMPTS),
        (Reply(hang_up=True), session.ATTEMPTS),
    ],
)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_does_not_pass_is_given_up(
    server: FaultServer, remote: S3Remote, operation: str, trouble: Reply, attempts: int
) -> None:
    server.rule = lambda seen: trouble
    with pytest.raises(Unreachable):
        OPERATIONS[operation](remote)
    assert len(server.seen) == attempts


@pytest.mark.parametrize(("said", "waited"), [("3", 3.0), ("86400", 20.0)])
def test_slow_down_says_for_how_long(
    server: FaultServer, remote: S3Remote, pauses: list[float], said: str, waited: float
) -> None:
    server.script(error(503, "SlowDown", Retry_After=said), page("a"))
    assert listed(remote) == ["a"]
    assert pauses == [waited]


@pytest.mark.parametrize("said", ["soon", "-1", "", "\u00b2", "Sat, 01 Mar 2025 10:00:00 GMT"])
def test_a_retry_after_that_is_no_number_is_passed_over(server: FaultServer, remote: S3Remote, said: str) -> None:
    server.script(error(503, "SlowDown", Retry_After=said), page("a"))
    assert listed(remote) == ["a"]


@pytest.mark.parametrize("where", ["header", "body"])
@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (307, "TemporaryRedirect")]
)
def test_the_region_of_a_bucket_is_learned(
    server: FaultServer, remote: S3Remote, status: int, code: str, where: str
) -> None:
    there = {"x_amz_bucket_region": "eu-west-3"} if where == "header" else {}

    def rule(seen: Seen) -> Reply:
        if "/eu-west-3/s3/" in seen.headers["Authorization"]:
            return page("a")
        return error(status, code, "" if there else "<Region>eu-west-3</Region>", **there)

    server.rule = rule
    assert listed(remote) == ["a"]
    assert listed(remote) == ["a"]
    assert len(server.seen) == 3
    with ThreadPoolExecutor(8) as pool:
        fresh = S3Remote(REGION, endpoint_url=server.endpoint)
        assert list(pool.map(lambda _: listed(fresh), range(16))) == [["a"]] * 16


def test_a_bucket_that_is_nowhere_does_not_go_in_circles(server: FaultServer, remote: S3Remote) -> None:
    regions = iter(f"eu-west-{number}" for number in range(100))
    server.rule = lambda seen: error(301, "PermanentRedirect", x_amz_bucket_region=next(regions))
    with pytest.raises(RemoteError, match="in region eu-west-1") as caught:
        listed(remote)
    assert "region" in caught.value.hint
    assert len(server.seen) == 2


@pytest.mark.parametrize("said", ["x.example.com/", "EU", "a b", "\u00e9"])
def test_a_region_that_is_none_is_not_learned(server: FaultServer, remote: S3Remote, said: str) -> None:
    server.rule = lambda seen: error(301, "PermanentRedirect", f"<Region>{said}</Region>")
    with pytest.raises(RemoteError):
        listed(remote)
    assert len(server.seen) == 1


BROKEN_PAGES: dict[str, Reply] = {
    "no XML": Reply(200, b"<html><br>Welcome to the hotel's Wi-Fi"),
    "nothing": Reply(200, b""),
    "cut XML": Reply(200, page("b", "c").body[:-40]),
    "other XML": Reply(200, b"<html/>"),
    "an error": Reply(200, error(500, "InternalError").body),
    "a document type": Reply(200, b"<!DOCTYPE x [<!ENTITY e 'e'>]>" + page("b").body),
    "an encoding that does not exist": Reply(200, b"<?xml version='1.0' encoding='none'?>" + page("b").body),
    "IsTruncated missing": Reply(200, b"<ListBucketResult></ListBucketResult>"),
    "IsTruncated odd": page("b", truncated="perhaps"),
    "no token": page("b", truncated="true"),
    "no keys but a token": page(token="t2"),
    "descending keys": page("c", "b"),
    "a key twice": page("b", "b"),
    "a key of the page before": page("a"),
    "a key that was not asked for": page("b", "x"),
    "an empty key": page(""),
    "a negative size": Reply(200, page("b").body.replace(b">1<", b">-1<")),
    "no size": Reply(200, page("b").body.replace(b"<Size>1</Size>", b"")),
    "an odd size": Reply(200, page("b").body.replace(b">1<", b">many<")),
    "no ETag": Reply(200, page("b").body.replace(b"ETag", b"Tag")),
    "no time": Reply(200, page("b").body.replace(b"2025", b"MMXXV")),
    "a time without zone": Reply(200, page("b").body.replace(b"Z<", b"<")),
    "bytes that are no UTF-8": page("b%FF", extra="<EncodingType>url</EncodingType>"),
    "a token that repeats": page("b", token="t"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_PAGES)
def test_a_listing_that_breaks_on_page_2_is_not_complete(server: FaultServer, remote: S3Remote, what: str) -> None:
    server.script(page("a", token="t"), BROKEN_PAGES[what])
    objects = remote.list("bucket", "a" if what == "a key that was not asked for" else "")
    before = ["a", "b"] if what == "a token that repeats" else ["a"]
    assert [next(objects).location.key for _ in before] == before
    with pytest.raises(BrokenListing, match="s3://bucket/"):
        next(objects)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [(error(403, "AccessDenied"), AccessDenied), (error(500), Unreachable), (Reply(hang_up=True), Unreachable)],
)
def test_a_listing_that_is_refused_on_page_2_is_not_complete(
    server: FaultServer, remote: S3Remote, trouble: Reply, kind: type[RemoteError]
) -> None:
    server.script(page("a", token="t"))
    server.rule = lambda seen: trouble
    objects = remote.list("bucket", "")
    assert next(objects).location.key == "a"
    assert len(server.seen) == 1
    with pytest.raises(kind):
        next(objects)


def test_a_page_that_was_cut_is_asked_for_again(server: FaultServer, remote: S3Remote) -> None:
    whole = page("a", "b")
    server.script(Reply(200, whole.body, cut_at=50), whole)
    assert listed(remote) == ["a", "b"]


def test_a_store_that_ignores_the_encoding_is_taken_at_its_word(server: FaultServer, remote: S3Remote) -> None:
    server.script(page("a%20b+c"), page("a%20b+c%2B", extra="<EncodingType>url</EncodingType>"))
    assert listed(remote) == ["a%20b+c"]
    assert listed(remote) == ["a b c+"]


def got(start: int = 0, *, etag: str = MD5, cut_at: int | None = None) -> Reply:
    headers = {"ETag": f'"{etag}"', "Last-Modified": HEAD["Last-Modified"]}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
    return Reply(206 if start else 200, BODY[start:], headers, cut_at=cut_at)


def test_a_body_that_was_cut_is_resumed(server: FaultServer, remote: S3Remote) -> None:
    server.script(got(cut_at=1000), got(1000, cut_at=500), got(1500))
    assert read(remote) == BODY
    assert [seen.headers.get("Range") for seen in server.seen] == [None, "bytes=1000-", "bytes=1500-"]
    assert all(seen.headers["If-Match"] == f'"{MD5}"' for seen in server.seen)


def test_a_body_that_is_always_cut_is_unreachable(server: FaultServer, remote: S3Remote) -> None:
    server.rule = lambda seen: got(cut_at=0)
    with pytest.raises(Unreachable, match="the connection broke"):
        read(remote)
    assert len(server.seen) == session.ATTEMPTS


def test_a_body_is_not_resumed_where_the_store_cannot_or_the_object_changed(
    server: FaultServer, remote: S3Remote
) -> None:
    server.script(got(cut_at=1000), got())
    with pytest.raises(Unreachable, match="cannot resume"):
        read(remote)
    server.script(got(cut_at=1000), got(1000, etag="0" * 32))
    with pytest.raises(ObjectChanged):
        read(remote)


def test_conditions_are_checked_here_too(server: FaultServer, remote: S3Remote) -> None:
    """One store ignores If-Match, another cannot read a quoted one: the answer's own ETag decides."""
    server.script(got(etag="0" * 32))
    with pytest.raises(ObjectChanged):
        read(remote)
    server.script(error(412, "PreconditionFailed"), got())
    assert read(remote) == BODY
    server.script(error(412, "PreconditionFailed"), got(etag="0" * 32))
    with pytest.raises(ObjectChanged):
        read(remote)


@pytest.mark.parametrize(
    ("etag", "headers", "etag_is_md5", "md5"),
    [
        (MD5, {}, True, None),
        (MD5, {"x-amz-server-side-encryption": "AES256"}, True, None),
        (MD5, {"x-amz-server-side-encryption": "aws:kms"}, False, None),
        (MD5, {"x-amz-server-side-encryption": "aws:kms:dsse"}, False, None),
        (MD5, {"x-amz-server-side-encryption-customer-algorithm": "AES256"}, False, None),
        (f"{MD5}-3", {}, False, None),
        ("not-hex", {}, False, None),
        ("m-1", {"x-amz-meta-md5chksum": "CY9rzUYh03PK3k6DJie09g=="}, False, "098f6bcd4621d373cade4e832627b4f6"),
        ("m-1", {"x-amz-checksum-md5": "CY9rzUYh03PK3k6DJie09g=="}, False, "098f6bcd4621d373cade4e832627b4f6"),
        ("m-1", {"x-amz-checksum-md5": "CY9rzUYh03PK3k6DJie09g==-2"}, False, None),
        ("m-1", {"x-amz-meta-md5chksum": "no base64"}, False, None),
        ("m-1", {"x-amz-meta-md5chksum": "AAAA"}, False, None),
        ("m-1", {"x-amz-meta-s3cmd-attrs": f"atime:1/md5:{MD5}/uid:0"}, False, MD5),
        ("m-1", {"x-amz-meta-s3cmd-attrs": "md5:short/uid:0"}, False, None),
        (MD5, {"x-amz-meta-md5chksum": "CY9rzUYh03PK3k6DJie09g=="}, True, None),
    ],
)  # fmt: skip
def test_a_head_says_how_an_md5_is_known(
    server: FaultServer, remote: S3Remote, etag: str, headers: dict[str, str], etag_is_md5: bool, md5: str | None
) -> None:
    server.script(Reply(200, b"", HEAD | {"ETag": f'"{etag}"'} | headers))
    seen = remote.head(PLACE)
    assert (seen.etag, seen.etag_is_md5, seen.md5) == (etag, etag_is_md5, md5)
    assert seen.md5_evidence is (None if md5 is None else Evidence.MD5)


def test_a_head_without_a_time_is_no_description(server: FaultServer, remote: S3Remote) -> None:
    server.rule = lambda seen: Reply(200, b"", {"ETag": MD5, "Content-Length": "1"})
    with pytest.raises(RemoteError, match="without a size or a time"):
        remote.head(PLACE)


def test_a_store_that_stores_other_bytes_is_found_out(server: FaultServer, remote: S3Remote) -> None:
    """By the ETag of its answer, or of a HEAD if that names none."""
    other = {"ETag": '"' + "0" * 32 + '"'}
    server.script(Reply(200, b"", other), Reply(200), Reply(200, b"", HEAD | other))
    for _ in range(2):
        with pytest.raises(BadDigest):
            remote.put(PLACE, BODY, md5=MD5)
    encrypted = other | {"x-amz-server-side-encryption": "aws:kms"}
    server.script(Reply(200, b"", encrypted))
    assert remote.put(PLACE, BODY, md5=MD5) == "0" * 32


def timed(attempt: Callable[[], object]) -> tuple[float, RemoteError]:
    started = time.monotonic()
    with pytest.raises(RemoteError) as caught:
        attempt()
    return time.monotonic() - started, caught.value


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refused_connection_is_told_within_5_s(operation: str) -> None:
    remote = S3Remote(REGION, endpoint_url=f"http://user:{SECRET_KEY[-6:]}@127.0.0.1:{free_port()}")
    took_s, told = timed(lambda: OPERATIONS[operation](remote))
    assert isinstance(told, Unreachable)
    assert took_s < 5
    assert "Connection refused" in str(told)
    assert SECRET_KEY[-6:] not in str(told)


def test_a_black_hole_is_told_within_5_s() -> None:
    with black_hole() as endpoint:
        took_s, told = timed(lambda: listed(S3Remote(REGION, endpoint_url=endpoint)))
    assert isinstance(told, Unreachable)
    assert took_s < 5


def test_an_address_that_swallows_everything_is_told_within_5_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host of many addresses, as S3's are, behind a firewall that drops: the time is shared, not multiplied."""

    def swallow(address: object, timeout_s: float) -> None:
        time.sleep(timeout_s)
        raise TimeoutError("timed out")

    rows = [(2, 1, 6, "", (f"192.0.2.{number}", 80)) for number in range(8)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    monkeypatch.setattr(socket, "create_connection", swallow)
    took_s, told = timed(lambda: listed(S3Remote(REGION, endpoint_url="http://s3.example")))
    assert isinstance(told, Unreachable)
    assert "within 2 s" in str(told)
    assert took_s < 5


def test_a_name_that_does_not_exist_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    took_s, told = timed(lambda: listed(S3Remote(REGION, endpoint_url="http://s3.invalid")))
    assert isinstance(told, Unreachable)
    assert "name cannot be resolved" in str(told)
    assert took_s < 5


def test_a_slow_first_answer_is_waited_for_if_the_host_is_alive(server: FaultServer, remote: S3Remote) -> None:
    server.script(Reply(200, page("a").body, stall_s=2.5))
    server.rule = lambda seen: Reply(405) if seen.target == "/" else page("a")
    assert listed(remote) == ["a"]


@pytest.mark.parametrize("config", ["", "[default]\nregion = us-west-1\n"])
def test_no_credentials_are_told_within_5_s(tmp_path: os.PathLike[str], config: str) -> None:
    """The search ends at the machine's metadata service, which here answers nobody."""
    script = (
        "import time\n"
        "from callsheet.errors import NoCredentials\n"
        "from callsheet.remote.s3 import S3Remote\n"
        "started = time.monotonic()\n"
        "remote = S3Remote('us-west-1', endpoint_url='http://127.0.0.1:9')\n"
        "for _ in range(3):\n"
        "    try:\n"
        "        list(remote.list('bucket', ''))\n"
        "    except NoCredentials as error:\n"
        "        assert 'aws sso login' in error.hint, error.hint\n"
        "    else:\n"
        "        raise AssertionError\n"
        "print(time.monotonic() - started)\n"
    )
    home = os.fspath(tmp_path)
    os.makedirs(f"{home}/.aws")
    with open(f"{home}/.aws/config", "w") as file:
        file.write(config)
    with black_hole() as metadata:
        env = {"PATH": os.environ["PATH"], "HOME": home, "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata}
        done = subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "nobody"),
        ("AWS_ACCESS_KEY_ID", "with\nbreak"),
        ("AWS_ENDPOINT_URL_S3", "not a url"),
        ("AWS_ENDPOINT_URL_S3", "ftp://host"),
        ("HTTP_PROXY", "gopher://127.0.0.1:1"),
        ("HTTP_PROXY", "http://127.0.0.1:1"),
    ],
)
def test_a_wrong_configuration_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, pauses: list[float], name: str, value: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.endpoint)
    monkeypatch.setenv(name, value)
    if name == "HTTP_PROXY":
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    with pytest.raises(RemoteError) as caught:
        listed(S3Remote(REGION))
    assert caught.value.hint
    assert server.seen == []


def test_endpoint_and_addressing_come_from_the_profile(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, tmp_path: os.PathLike[str]
) -> None:
    config = os.path.join(tmp_path, "config")
    with open(config, "w") as file:
        file.write(f"[profile mine]\nendpoint_url = {server.endpoint}/base/\ns3 =\n  addressing_style = path\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    monkeypatch.setenv("AWS_CONFIG_FILE", config)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    server.script(page("a"))
    remote = S3Remote(REGION)
    assert remote.url(PLACE) == f"{server.endpoint}/base/bucket/folder/a.jpg"
    assert listed(remote) == ["a"]
    assert server.seen[0].target.startswith("/base/bucket?")


@pytest.mark.parametrize(
    ("bucket", "style", "base", "path"),
    [
        ("bucket", "auto", "https://bucket.s3.us-west-1.amazonaws.com", "/k"),
        ("bucket", "virtual", "https://bucket.s3.us-west-1.amazonaws.com", "/k"),
        ("bucket", "path", "https://s3.us-west-1.amazonaws.com", "/bucket/k"),
        ("with.dots", "auto", "https://s3.us-west-1.amazonaws.com", "/with.dots/k"),
        ("Upper_case", "auto", "https://s3.us-west-1.amazonaws.com", "/Upper_case/k"),
    ],
)
def test_buckets_are_addressed_as_on_amazon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str], bucket: str, style: str, base: str, path: str
) -> None:
    config = os.path.join(tmp_path, "config")
    with open(config, "w") as file:
        file.write(f"[default]\ns3 =\n  addressing_style = {style}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", config)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    opened = session.Session(REGION, anonymous=False, endpoint_url=None)
    assert opened._address(bucket, "k", REGION) == (base, path)
    assert opened._address(bucket, "k", "cn-north-1")[0].endswith(".amazonaws.com.cn")
    assert opened.origin(bucket) == base
    assert opened.presigned(Location(bucket, "k"), 60, "image/png").startswith(f"{base}{path}?X-Amz-Algorithm=")


@pytest.mark.parametrize("key", ["/x", "a//b", "../x", "a/./b", "%2F", "q?#", "\x01\n", "é"])
def test_a_key_is_exact_on_the_wire(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, remote: S3Remote, key: str
) -> None:
    """Straight, and through a proxy, which is sent a whole URL: there dots are encoded, for they would be resolved."""
    wire = {
        "/x": "/x",
        "a//b": "a//b",
        "../x": "../x",
        "a/./b": "a/./b",
        "%2F": "%252F",
        "q?#": "q%3F%23",
        "\x01\n": "%01%0A",
        "é": "%C3%A9",
    }[key]
    server.rule = lambda seen: Reply(204)
    remote.delete(Location("bucket", key))
    assert server.seen[-1].target == f"/bucket/{wire}"
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)
    S3Remote(REGION, endpoint_url="http://s3.example:81").delete(Location("bucket", key))
    encoded = "/".join({".": "%2E", "..": "%2E%2E"}.get(part, part) for part in wire.split("/"))
    assert server.seen[-1].target == f"http://s3.example:81/bucket/{encoded}"
    assert server.seen[-1].headers["Host"] == "s3.example:81"


def test_it_can_be_sent_to_another_process(server: FaultServer, remote: S3Remote) -> None:
    server.script(page("a"), page("a"))
    assert listed(remote) == listed(pickle.loads(pickle.dumps(remote))) == ["a"]


def test_anonymous_requests_are_not_signed(server: FaultServer, pauses: list[float]) -> None:
    server.script(page("a"))
    assert listed(S3Remote(REGION, anonymous=True, endpoint_url=server.endpoint)) == ["a"]
    assert not {name.lower() for name in server.seen[0].headers} & {"authorization", "x-amz-security-token"}


def test_credentials_are_looked_for_anew_once_they_have_expired(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, remote: S3Remote
) -> None:
    server.script(error(400, "ExpiredToken"), page("a"))
    with pytest.raises(NoCredentials):
        listed(remote)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    assert listed(remote) == ["a"]
    assert "Credential=renewed/" in server.seen[-1].headers["Authorization"]


def everything(error: BaseException | None) -> str:
    """All that a log could show of an exception: it, its hint, and what it came from."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), str(getattr(error, "hint", ""))]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


@pytest.mark.parametrize(
    "trouble",
    [error(status, code) for status, code, *_ in CODES]
    + [Reply(hang_up=True), Reply(200, b"?"), error(500, SECRET_KEY)],
)
@pytest.mark.parametrize("operation", ALL_OPERATIONS)
def test_no_error_tells_a_secret(server: FaultServer, remote: S3Remote, operation: str, trouble: Reply) -> None:
    server.rule = lambda seen: trouble
    try:
        ALL_OPERATIONS[operation](remote)
    except RemoteError as told:
        text = everything(told)
        signatures = [seen.headers["Authorization"].rpartition("=")[2] for seen in server.seen]
        assert not any(secret in text for secret in (SECRET_KEY, ACCESS_KEY, TOKEN, *signatures))


def test_a_header_that_cannot_be_sent_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, remote: S3Remote
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", f"{TOKEN}\n")
    with pytest.raises(RemoteError) as caught:
        listed(remote)
    assert TOKEN not in everything(caught.value)
    assert "line breaks" in caught.value.hint


# Only a botocore whose own descriptions of services are broken raises these.
NEVER = (botocore.exceptions.MissingServiceIdError, botocore.exceptions.UndefinedModelAttributeError)


def classes(module: object, base: type[BaseException]) -> list[type[BaseException]]:
    found = [value for _, value in inspect.getmembers(module, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, base) and not issubclass(kind, (Warning, *NEVER))]


@pytest.mark.parametrize("kind", classes(urllib3.exceptions, Exception), ids=lambda kind: kind.__name__)
def test_every_exception_of_urllib3_is_mapped(kind: type[Exception]) -> None:
    assert issubclass(kind, FOREIGN)
    assert isinstance(lost(kind.__new__(kind)), Lost)


@pytest.mark.parametrize("kind", classes(botocore.exceptions, Exception), ids=lambda kind: kind.__name__)
def test_every_exception_of_botocore_is_mapped(
    monkeypatch: pytest.MonkeyPatch, server: FaultServer, remote: S3Remote, kind: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise kind.__new__(kind)

    monkeypatch.setattr("callsheet.remote.aws.Session.get_credentials", fail)
    with pytest.raises(NoCredentials):
        listed(remote)
