"""Input that is large, and costs too much if it is read in the obvious way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fuzz.documents import BUCKET, PREFIX, contents, element

N = 100_000
_LAUGHS = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 10)
) + f"]><ListBucketResult>{'&a9;' * 10}</ListBucketResult>"  # fmt: skip


def _keys(last: str) -> bytes:
    return ("{" + "".join(f'"k{number}":1,' for number in range(N)) + last + "}").encode()


def _page(*inner: str) -> bytes:
    return element("ListBucketResult", element("IsTruncated", "false"), *inner).encode()


_JSON: Mapping[str, Callable[[], bytes]] = {
    "deep array": lambda: b"[" * N,
    "deep objects": lambda: b'{"x":' * N + b"1" + b"}" * N,
    "many keys": lambda: _keys('"k":1'),
    "many keys, one twice": lambda: _keys(f'"k{N - 1}":1'),
    "long number": lambda: b'{"n":%b}' % (b"9" * 10 * N),
    "long text": lambda: b'{"images":"%b"}' % (b"\\u0041" * N),
    "blanks": lambda: b"{" + b" \r\n" * 3 * N,
    "quotes": lambda: b'"' * N,
    "zeros": lambda: bytes(10 * N),
}
_XML: Mapping[str, Callable[[], bytes]] = {
    "laughs": _LAUGHS.encode,
    "laughs in another encoding": lambda: _LAUGHS.replace("?>", ' encoding="utf-16"?>', 1).encode("utf-16"),
    "deep": lambda: b"<a>" * N + b"</a>" * N,
    "attributes": lambda: ("<a " + " ".join(f'a{number}="x"' for number in range(N)) + "/>").encode(),
    "one attribute twice": lambda: b"<a " + b'x="x" ' * N + b"/>",
    "open tags": lambda: b"<" * N,
    "long comment": lambda: b"<a><!--" + b"- " * N,
    "character references": lambda: b"<a>" + b"&#65;" * N + b"</a>",
}
_URL = f"https://s3.amazonaws.com/{BUCKET}/"

LARGE: Mapping[str, Mapping[str, Callable[[], bytes]]] = {
    "manifest": {
        **_JSON,
        "many images": lambda: ('{"training_data":[' + ",".join(f'{{"filename":"{n}.png"}}' for n in range(N // 10)) + "]}").encode(),
        "long name": lambda: b'{"training_data":[{"filename":"%b.png"}]}' % (b"1" * N),
    },
    "legacy": {
        **_JSON,
        "long URL of another host": lambda: b'{"s3_image_urls":["http://h/%ba.png"]}' % (b"a/" * 5 * N),
        "many URLs": lambda: ('{"x":[' + ",".join(f'"{_URL}{n}.png"' for n in range(N // 10)) + "]}").encode(),
    },
    "plan": _JSON,
    "journal": {
        **_JSON,
        "many lines": lambda: b'{"callsheet_run":1}\n' + b'{"n":1,"outcome":"done"}\n' * N,
        "line ends": lambda: b"\n" * N,
    },
    "page": {
        **_XML,
        "long size": lambda: _page(contents(PREFIX + "a.png").replace(">5<", f">{'9' * N}<")),
        "many keys": lambda: _page(*(contents(f"{PREFIX}{number:06}.png") for number in range(N // 10))),
    },
    "error_body": _XML,
    "reply": {
        "long line": lambda: b"HTTP/1.1 200 OK\r\n" + b"x" * N,
        "long field": lambda: b"HTTP/1.1 200 OK\r\nx: " + b"x" * 65_000 + b"\r\nContent-Length: 0\r\n\r\n",
        "many fields": lambda: b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * N + b"\r\n",
        "blanks": lambda: b"HTTP/1.1 200 OK\r\nx:" + b" \t" * 30_000 + b"y\r\nContent-Length: 0\r\n\r\n",
        "long length": lambda: b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 60_000 + b"\r\n\r\n",
        "promised more than there is": lambda: b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 15 + b"\r\n\r\nx",
        "small chunks": lambda: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (N // 10) + b"0\r\n\r\n",
        "interim answers": lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * (N // 10),
    },
    "url": {
        "segments": lambda: b"http://h/" + b"a/" * 5 * N,
        "hosts": lambda: b"https://" + b"s3." * N + b"com/a.png",
        "regions": lambda: b"https://b.s3" + b".eu-central-1" * N + b".x/a.png",
        "letters": lambda: b"https://b.s3-aa" + b"-a" * N + b"/a.png",
        "signature": lambda: b"s3://b-b/a?" + b"&X-Amz-Signature" * N,
        "percents": lambda: b"https://b-b.s3.amazonaws.com/" + b"%25" * N,
    },
    "name": {"digits": lambda: b"1" * N, "letters": lambda: b"\xc3\xa4" * N, "numbers": lambda: b"1a" * N},
    "etag_list": {"commas": lambda: b"," * 10 * N, "quotes": lambda: b'W/"' * N},
    "settings": {
        "dotted key": lambda: b"bucket" + b".a" * N + b" = 1",
        "shorter dotted key": lambda: b"bucket" + b".a" * 4_000 + b" = 1",
        "dotted table": lambda: b"[bucket" + b".a" * 4_000 + b"]\nx = 1",
        "deep array": lambda: b"bucket = " + b"[" * 10_000,
        "long number": lambda: b"workers = " + b"9" * 10_000,
        "long key": lambda: b"b" * 30_000 + b" = 1",
    },
}  # fmt: skip
