"""What each target is fed: sound documents, and the strategies that make unsound ones of them."""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from callsheet import planfile
from callsheet.action import Curation, Mark, Plan, Verb
from fuzz.mutations import MOMENTS, NAMES, SCALARS, URLS, byte_mutants, json_mutants
from pure.test_planfile import REPLACED, RESTORED, RUN_OF_THREE, SENT, journal_of

MD5 = "0123456789abcdef" * 2
BUCKET, PREFIX = "story-boards-assets", "system_actors/training_data/"

_IMAGE = {
    "filename": "0000_x_0.jpg", "local_path": "data/actors/0000_x/training_data/0000_x_0.jpg", "size_bytes": 328059,
    "size_mb": 0.31, "modified_timestamp": 1729176000.0, "modified_date": "2024-10-17T14:40:00.000000", "md5_hash": MD5,
    "s3_url": URLS[0], "status": "synced", "good": True, "prompt": "a face", "other": [1, {"x": None}], "evidence": "etag",
    "checked_at": MOMENTS[0], "synced_md5": MD5, "alternate_s3_urls": [URLS[1], URLS[2]],
    "s3": {"etag": MD5, "md5": MD5, "size_bytes": 328059, "last_modified": MOMENTS[0]},
}  # fmt: skip
MANIFESTS: list[Any] = [
    {
        "character_id": "0000", "metadata": {"age": 16, "tags": ["a", "b"]}, "character_name": "0000_x",
        "training_data": [_IMAGE, {"filename": "0000_x_1.png", "status": "local_only"}], "training_data_updated": MOMENTS[0],
        "statistics": {"total_files": 3, "training_images_count": 2}, "lora_model": {"steps": 1600, "rate": 1e-4},
        "training_data_missing": [{**_IMAGE, "filename": "gone.png", "removed_by": "20251017T163000.000Z-ab12", "status": None}],
    },
    {"character_name": "0000_x", "training_data": None, "base_images": [{"path": "a.png"}]},
    {},
]  # fmt: skip
LEGACY: list[Any] = [
    {"delayTime": 1874, "output": {"output": {"job_id": "j", "s3_image_urls": [*URLS]}, "status": "success"}, "status": "COMPLETED"},
    {"images": {name: {"prompt": f"of {url}", "good": True, "s3_url": url} for name, url in zip(NAMES, URLS, strict=False)}},
    {"version": 1, "images": {"a.png": {"s3_url": URLS[0], "prompt": ""}}, "more": [{"url": URLS[3]}, URLS[4], f"see {URLS[0]}"]},
    {"status": "FAILED", "error": "CUDA out of memory", "output": None},
]  # fmt: skip
_MARK = Mark("0000_x", "a.png", Curation(None, "before"), Curation(True, None))
_PLANS = [Plan(Verb.REPAIR, (SENT, REPLACED)), Plan(Verb.UNDO, (RESTORED,), (), "20251017T162900.000Z-cd34", (_MARK,))]
_JOURNAL = [json.loads(line) for line in journal_of(RUN_OF_THREE).splitlines()]
_JOURNAL.insert(1, {"mark": planfile.mark_as_dict(_MARK)})

manifests = byte_mutants(json_mutants(MANIFESTS))
legacy_files = byte_mutants(json_mutants(LEGACY))
plans = byte_mutants(json_mutants([planfile.plan_as_dict(plan) for plan in _PLANS]))


@st.composite
def _journals(draw: st.DrawFn) -> bytes:
    """Lines that are left out, doubled, exchanged or mutated one by one."""
    lines = [json.dumps(line, separators=(",", ":")).encode() for line in _JOURNAL]
    for _ in range(draw(st.integers(0, 3))):
        at, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        edit = draw(st.integers(0, 3))
        if edit == 0:
            lines.insert(at, lines[other])
        elif edit == 1 and len(lines) > 1:
            del lines[at]
        elif edit == 2:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            spelt = json.loads(draw(json_mutants([_JOURNAL[min(at, len(_JOURNAL) - 1)]])))
            lines[at] = json.dumps(spelt, separators=(",", ":")).encode()
    return b"\n".join(lines) + b"\n"


journals = byte_mutants(_journals())

_ENCODINGS = (
    "UTF-8",
    "utf-16",
    "ISO-8859-1",
    "latin-1",
    "idna",
    "punycode",
    "unicode_escape",
    "undefined",
    "hex",
    "cp932",
    "x",
)
_TAGS = st.sampled_from(
    ["Key", "Size", "ETag", "LastModified", "IsTruncated", "NextContinuationToken", "EncodingType", "Contents", "Code", "Region", "Error", "x"]
)  # fmt: skip
_XML_TEXTS = SCALARS.map(str) | st.sampled_from(
    ["true", "false", "url", "0", "00", "1_0", "+5", " 5 ", "٣", "9" * 30, MD5, f'"{MD5}"', f'W/"{MD5}-2"', "NoSuchKey", "eu-central-1", "a%2Fb+c.png", PREFIX]
)  # fmt: skip


def element(tag: str, *inner: str) -> str:
    return f"<{tag}>{''.join(inner)}</{tag}>"


def contents(key: str) -> str:
    fields = (("Key", key), ("LastModified", "2025-10-17T16:30:00.000Z"), ("ETag", f'"{MD5}"'), ("Size", "5"))
    return element("Contents", *(element(tag, escape(text)) for tag, text in fields))


@st.composite
def _xml(draw: st.DrawFn, root: str, fields: st.SearchStrategy[list[str]]) -> bytes:
    """A document whose elements are right or wrong in text, order, number and nesting."""
    parts = draw(fields)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(parts)))
        odd = element(draw(_TAGS), escape(draw(_XML_TEXTS)))
        edit = draw(st.integers(0, 3))
        parts[at : at + (edit != 0)] = [odd, "", element(draw(_TAGS), *parts[at : at + 1], odd), odd][edit]
    text = element(
        draw(
            st.sampled_from([root, root, root, f'{root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', "html"])
        ).split(" ")[0],
        *parts,
    )
    encoding = draw(st.sampled_from(_ENCODINGS)) if draw(st.integers(0, 5)) == 0 else ""
    head = (
        f'<?xml version="1.0" encoding="{encoding}"?>'
        if encoding
        else draw(st.sampled_from(["", '<?xml version="1.0"?>', " \n"]))
    )
    head += draw(st.sampled_from(["", "", "", '<!DOCTYPE x [<!ENTITY a "aaaa">]>', "<!-- x -->"]))
    body = (head + text).encode(errors="surrogatepass")
    return body.decode(errors="replace").encode("utf-16") if encoding == "utf-16" else body


_KEYS = st.lists(
    st.sampled_from(["a.png", "b c.png", "ü.png", "z%.png", "0000_x/1.png", "&<>.png", "a//b.png"]), max_size=4
).map(sorted)
_PAGE_FIELDS = st.builds(
    lambda keys, truncated, encoded: [
        *([element("EncodingType", "url")] if encoded else []),
        element("IsTruncated", str(truncated).lower()),
        *([element("NextContinuationToken", "t+/=")] if truncated else []),
        *(contents(PREFIX + key) for key in keys),
    ],
    _KEYS,
    st.booleans(),
    st.booleans(),
)
_CODES = st.sampled_from(
    ["NoSuchKey", "AccessDenied", "SlowDown", "PermanentRedirect", "Odd", "", "\x1b[31m", "a" * 65]
)
_ERROR_FIELDS = st.builds(
    lambda code, region: [element("Code", escape(code)), element("Message", "said"), element("Region", region)],
    _CODES,
    st.sampled_from(["eu-central-1", "", "../x"]),
)
pages = byte_mutants(_xml("ListBucketResult", _PAGE_FIELDS))
error_bodies = byte_mutants(_xml("Error", _ERROR_FIELDS))

_STATUS_LINES = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.1 206", "HTTP/1.1 404 Not Found", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content", "HTTP/1.1 100 Continue", "HTTP/1.1 999 x", "HTTP/2 200", "ICY 200", "HTTP/1.1 20x", "HTTP/1.1  200 OK"]
)  # fmt: skip
_HEADERS = st.sampled_from(
    [
        *(f"Content-Length: {length}" for length in ("5", "0", "05", "+5", "-5", "5, 5", "1_0", "٥", "9" * 20, "9" * 5000, "", " 5 ")),
        *(f"Last-Modified: {moment}" for moment in ("Fri, 17 Oct 2025 16:30:00 GMT", "Fri, 31 Dec 9999 23:59:59 -1400", "Fri, 17 Oct 2025 16:30:00 -0000", "Fri, 17 Oct 2025 16:30:00 +9999", "yesterday", "", "0", "1 Jan 1", "Fri, 17 Oct 2025 99:99:99 GMT", "9" * 400, "Mon, 01 Jan 99999 00:00:00 GMT")),
        *(f"ETag: {etag}" for etag in (f'"{MD5}"', f'W/"{MD5}"', '"', "", f"{MD5}-3", "\x7f")),
        "Transfer-Encoding: chunked", "transfer-encoding: identity", "Connection: close", "Connection: keep-alive, Close", "x-amz-meta-md5chksum: AAAAAAAAAAAAAAAAAAAAAA==",
        "x-amz-meta-md5chksum: é", f"x-amz-meta-s3cmd-attrs: md5:{MD5}/x", "x-amz-server-side-encryption: aws:kms", "x-amz-checksum-md5: =",
        "Retry-After: 9", " folded", "no colon", ": no name", "a b: c", "x: \0", "x" * 70_000, "x: \xe9", "Content-Encoding: gzip", "Keep-Alive: timeout=5",
    ]
)  # fmt: skip
_BODIES = st.sampled_from(
    [b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"-1\r\nhello", b"-5\r\nhello\r\n0\r\n\r\n", b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n", b"ffffffffffffffffff\r\nhello", b"5\nhello\n0\n\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n"]
)  # fmt: skip


@st.composite
def _replies(draw: st.DrawFn) -> bytes:
    lines = [draw(_STATUS_LINES), *draw(st.lists(_HEADERS, max_size=6))]
    end = draw(st.sampled_from(["\r\n", "\r\n", "\r\n", "\n"]))
    return (end.join(lines) + end + end).encode() + draw(_BODIES)


replies = byte_mutants(_replies())

_HOSTS = st.sampled_from(
    ["s3.amazonaws.com", "my-bucket.s3.amazonaws.com", "my.bucket.s3.us-west-1.amazonaws.com", "s3-us-west-2.amazonaws.com", "b.s3.dualstack.eu-central-1.amazonaws.com.cn", "s3-accelerate.amazonaws.com", "127.0.0.1:9000", "[::1]:80", "[::1", "user@my-bucket.s3.amazonaws.com", "MY-BUCKET.S3.AMAZONAWS.COM", "s3.amazonaws.com.example.com", "my-bucket.s3.amazonaws.com:x", "", BUCKET, "ſ3.amazonaws.com", "my-bucket.s3.amazonaws.com."]
)  # fmt: skip
_SEGMENTS = st.sampled_from([BUCKET, "second-bucket", "my.bucket", "-", "a", "a.png", "%2F", "%ff", "%", "+", " ", "..", "%2E%2E", "é", "?", "#", "\n", "\\", ";x", "", "%00"]) | st.text(max_size=5)  # fmt: skip
_QUERIES = st.sampled_from(
    ["", "", "?versionId=7", "?X-Amz-Signature=a&X-Amz-Expires=9", "#part", "?AWSAccessKeyId=k", "?a=b#c"]
)
_URLS = st.builds(
    lambda scheme, host, segments, query: f"{scheme}{host}/{'/'.join(segments)}{query}",
    st.sampled_from(["https://", "http://", "s3://", "HTTPS://", "S3://", "ftp://", "//", "", "https:", " https://"]),
    _HOSTS,
    st.lists(_SEGMENTS, max_size=5),
    _QUERIES,
)
urls = byte_mutants(_URLS.map(lambda url: url.encode(errors="surrogatepass")))
names = byte_mutants(
    (st.sampled_from(NAMES) | st.text(max_size=20)).map(lambda name: name.encode(errors="surrogatepass"))
)
etag_lists = byte_mutants(
    st.lists(st.sampled_from(['"a"', 'W/"a"', "*", "", '"a,b"', '"', "W/", "w/*", ' "a" ']), max_size=5).map(
        lambda tags: ",".join(tags).encode()
    )
)

_SETTING_KEYS = ("actors_dir", "manifests_dir", "state_dir", "bucket", "prefix", "region", "other_buckets", "remote", "anonymous", "workers", "transfers", "buckte", "bucket.a", "[bucket]#", "''")  # fmt: skip
_SETTING_VALUES = (
    '"my-bucket"', '"a/b"', '"../x"', '"/abs"', '""', '"\\u0000"', '"\\uD800"', '["a-b", "c-d"]', '["a-b", 1]', "[[[]]]", "{a = {b = 1}}", "true", "0", "8", "257", "-1", "9" * 30, "1e3", "nan", "2025-10-17",
    '"s3://other-bucket/pre/fix"', '"S3://x"', '"s3:///"', '"file:///tmp/%00"', '"file://[::1"', '"file:///a?b"', '"http://h"', '"s3://b@d:x/y"', "'''\n'''", "'\x7f'",
)  # fmt: skip
settings_files = byte_mutants(
    st.lists(
        st.builds("{} = {}".format, st.sampled_from(_SETTING_KEYS), st.sampled_from(_SETTING_VALUES)),
        max_size=4,
        unique=True,
    ).map(lambda lines: ("\n".join(lines) + "\n").encode())
)
