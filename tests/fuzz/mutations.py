"""Sound input made unsound, by structure first and by bytes second: what is only random is refused at its first byte and proves little."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

MOMENTS = (
    "2025-10-17T16:30:00.000000", "2025-10-17T16:30:00+00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2025-10-17T16:30:00", "2025-W42-5T16:30Z", "2025-10-17T24:00:00Z", "2025-10-17T16:30:00+23:59:59.999999", "yesterday",
)  # fmt: skip
URLS = (
    "https://story-boards-assets.s3.us-west-1.amazonaws.com/system_actors/training_data/0000_x/0000_x_1.png",
    "https://s3.eu-central-1.amazonaws.com/my.bucket/a/0000_x_2.webp?versionId=7",
    "http://127.0.0.1:9000/story-boards-assets/0000_x_3.PNG?X-Amz-Signature=secret",
    "s3://story-boards-assets/what?#1.png", "https://[::1/a.png", "https://my-bucket.s3.amazonaws.com/a%2Epng",
    "HTTPS://MY-BUCKET.S3.amazonaws.com/%ff.png", " https://my-bucket.s3.amazonaws.com/a.png\n", "//b/a.png", "s3://b/a.png",
    "https://user:word@my-bucket.s3.amazonaws.com/a.png", "https://cdn.example.com/a.png", "https://my-bucket.s3.amazonaws.com:x/a.png",
)  # fmt: skip
NAMES = (
    "0000_x_1.png",
    "é.png",
    "e\u0301.png",
    "..",
    ".png",
    "a/b.png",
    "a\\b.png",
    "\x1b[31m.png",
    "a" * 256,
    "\u202egnp.png",
    "CON",
)
TEXTS = ("", " ", "\0", "\ufeff", "\u2028", "{}", "synced", "md5", "d41d8cd98f00b204e9800998ecf8427e", *NAMES)
NUMBERS = (0, -1, 1.5, -0.0, 1e-320, 1e300, 2**63, 2**64, 10**300, 253_402_300_799, 253_402_300_800, -62_135_596_801)
SCALARS = (
    st.sampled_from([None, True, False, *NUMBERS, *TEXTS, *URLS, *MOMENTS])
    | st.text(max_size=8)
    | st.integers()
    | st.floats()
)
VALUES = SCALARS | st.sampled_from([[], {}, [[]], {"": {"": None}}, [None], {"url": URLS[0]}, [URLS[1]]]).map(
    copy.deepcopy
)
KEYS = st.sampled_from(
    ["", "n", "x", "filename", "s3_url", "good", "prompt", "s3", "images", "s3_image_urls", *URLS[:2]]
) | st.text(max_size=4)

_TOKENS = (
    b"", b"\0", b"\xef\xbb\xbf", b"\xff", b"\r\n", b"\n", b"\r", b"\t", b'"', b"\\", b"\\ud800", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"9" * 400,
    b"//", b"[", b"]", b"{", b"}", b",", b":", b"null", b"true", b'"filename":"b.png",', b"<", b">", b"&#x0;", b"&#55296;", b"&amp;", b"&x;", b"<!--", b"]]>",
    b"<?x?>", b"%", b"%ff", b"+", b"/", b"..", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b" ", b"-1", b"=",
)  # fmt: skip


@st.composite
def json_mutants(draw: st.DrawFn, documents: Sequence[Any]) -> bytes:
    """One of `documents` with some of its nodes replaced, moved, doubled, dropped, renamed or nested, as JSON in any of its spellings."""
    root = [copy.deepcopy(draw(st.sampled_from(documents)))]
    for _ in range(draw(st.integers(0, 4))):
        parents = _containers(root)
        parent = draw(st.sampled_from(parents))
        draw(st.sampled_from(_OBJECT_EDITS if isinstance(parent, dict) else _ARRAY_EDITS))(draw, parent, parents)
    indent, ascii_only = draw(st.sampled_from([None, 2, "\t"])), draw(st.booleans())
    return json.dumps(root[0] if root else None, indent=indent, ensure_ascii=ascii_only).encode(errors="surrogatepass")


@st.composite
def byte_mutants(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """Cut, spliced, repeated, in another encoding, or with a token put where it does not belong; half of them as they were."""
    raw = draw(sound)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 1, 2]))):
        start = draw(st.integers(0, len(raw)))
        end = draw(st.integers(start, min(len(raw), start + 40)))
        edit = draw(st.integers(0, 6))
        if edit <= 2:
            raw = raw[:start] + draw(st.sampled_from(_TOKENS)) + raw[start if edit else end :]
        elif edit == 3:
            raw = raw[:start]
        elif edit == 4:
            raw = raw[:end] + raw[start:]
        elif edit == 5:
            raw = raw[:start] + draw(sound)[start:]
        else:
            raw = raw.replace(b"\n", b"\r\n") if start % 2 else raw.decode(errors="replace").encode("utf-16")
    return raw


def _containers(value: Any) -> list[Any]:
    """Every object and array in a document, the outermost first."""
    found = [value]
    for container in found:
        inner = container.values() if isinstance(container, dict) else container
        found.extend(item for item in inner if isinstance(item, dict | list))
    return found


_Edit = Callable[[st.DrawFn, Any, list[Any]], None]


def _index(draw: st.DrawFn, parent: Any) -> Any:
    return draw(st.sampled_from([*parent] if isinstance(parent, dict) else range(len(parent)))) if parent else None


def _replace(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if parent:
        parent[_index(draw, parent)] = draw(VALUES)


def _drop(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if parent:
        del parent[_index(draw, parent)]


def _graft(draw: st.DrawFn, parent: Any, parents: list[Any]) -> None:
    if parent:
        parent[_index(draw, parent)] = copy.deepcopy(draw(st.sampled_from(parents)))


def _nest(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if parent:
        at = _index(draw, parent)
        for _level in range(draw(st.sampled_from([1, 2, 40]))):
            parent[at] = [parent[at]]


def _add(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if isinstance(parent, dict):
        parent[draw(KEYS)] = draw(VALUES)
    else:
        parent.insert(draw(st.integers(0, len(parent))), draw(VALUES))


def _rename(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if parent:
        parent[draw(KEYS)] = parent.pop(_index(draw, parent))


def _shuffle(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    items = draw(st.permutations([*parent.items()]))
    parent.clear()
    parent.update(items)


def _double(draw: st.DrawFn, parent: Any, _: list[Any]) -> None:
    if parent:
        parent.append(copy.deepcopy(parent[_index(draw, parent)]))


_ANY_EDITS: tuple[_Edit, ...] = (_replace, _replace, _drop, _graft, _add, _nest)
_OBJECT_EDITS: tuple[_Edit, ...] = (*_ANY_EDITS, _rename, _shuffle)
_ARRAY_EDITS: tuple[_Edit, ...] = (*_ANY_EDITS, _double)
