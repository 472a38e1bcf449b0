"""Every file gets the MD5 that hashlib gives it, whichever way it is hashed; and none that changed meanwhile gets any.

`way` is hashlib or one instruction set of the extension: all have one contract. Without the extension,
hashlib's way is tested alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callsheet import etag, hashing
from callsheet.errors import ChangingFile, LocalError
from callsheet.model import HashedFile

try:
    from callsheet import _md5lanes
except ImportError:
    VARIANTS: list[str] = []
    BUFFER_BYTES = hashing._BUFFER_BYTES
else:
    VARIANTS = _md5lanes.VARIANTS
    BUFFER_BYTES = _md5lanes.BUFFER_BYTES

Way = Callable[[list[str]], list[tuple[int, int, int, str]]]


def _lanes(paths: list[str], variant: str) -> list[tuple[int, int, int, str]]:
    return _md5lanes.hash_files(paths, variant)


def _buffers_in_lanes(buffers: list[memoryview], variant: str) -> list[str]:
    return _md5lanes.hash_buffers(buffers, variant)


WAYS: dict[str, Way] = {
    "hashlib": hashing._hash_with_hashlib,
    **{variant: partial(_lanes, variant=variant) for variant in VARIANTS},
}
BUFFER_WAYS: dict[str, Callable[[list[memoryview]], list[str]]] = {
    "hashlib": hashing._hash_buffers_with_hashlib,
    **{variant: partial(_buffers_in_lanes, variant=variant) for variant in VARIANTS},
}
EDGES = [
    *range(201),  # two blocks and their padding: 55/56, 63/64/65, 119/120
    *(BUFFER_BYTES + near for near in (-65, -64, -63, -9, -8, -1, 0, 1, 55, 56, 64)),
    *(2 * BUFFER_BYTES + near for near in (-1, 0, 1)),
    327_680,
    1_000_003,
]
NOISE = random.Random(0).randbytes(max(EDGES) + 128)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    monkeypatch.setattr(hashing, "_hash_once", WAYS[name])
    return name


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[str, str]]:
    """A file of each length at the edges, and its MD5."""
    folder = tmp_path_factory.mktemp("edges")
    made = {}
    for size in EDGES:
        data = random.Random(size).randbytes(size)
        path = folder / str(size)
        path.write_bytes(data)
        made[size] = (str(path), hashlib.md5(data).hexdigest())
    return made


def _hash(path: Path) -> HashedFile | LocalError:
    (result,) = hashing.hash_files([str(path)])
    return result


@contextmanager
def _meanwhile(deed: Callable[[], object]) -> Iterator[None]:
    """Does `deed` over and over, from before the body begins until after it ends."""
    begun, over = threading.Event(), threading.Event()

    def repeat() -> None:
        while not over.is_set():
            deed()
            begun.set()

    thread = threading.Thread(target=repeat)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


# ---- The hash ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WAYS)
def test_every_length_at_the_edges_alone_and_together(name: str, shelf: dict[int, tuple[str, str]]) -> None:
    way = WAYS[name]
    for path, md5 in shelf.values():
        assert [outcome[3] for outcome in way([path])] == [md5]
    assert [outcome[3] for outcome in way([path for path, _ in shelf.values()])] == [md5 for _, md5 in shelf.values()]


@pytest.mark.parametrize("name", WAYS)
@settings(max_examples=150)
@given(sizes=st.lists(st.sampled_from(EDGES) | st.integers(0, 200), max_size=40))
def test_any_mixture_of_files(name: str, sizes: list[int], shelf: dict[int, tuple[str, str]]) -> None:
    outcomes = WAYS[name]([shelf[size][0] for size in sizes])
    assert [(error, size, md5) for error, size, _, md5 in outcomes] == [(0, size, shelf[size][1]) for size in sizes]


@pytest.mark.parametrize("name", BUFFER_WAYS)
@settings(max_examples=300)
@given(
    sizes=st.lists(st.sampled_from(EDGES) | st.integers(0, 200), max_size=40),
    start=st.integers(0, 63),
    odd=st.booleans(),
)
def test_any_mixture_of_buffers(name: str, sizes: list[int], start: int, odd: bool) -> None:
    """Of one length or of many, wherever they are in memory, some of them the same."""
    whole = memoryview(NOISE)
    buffers = [whole[start + number * odd :][:size] for number, size in enumerate(sizes)]
    wanted = [hashlib.md5(buffer).hexdigest() for buffer in buffers]
    assert BUFFER_WAYS[name](buffers) == wanted
    assert all(BUFFER_WAYS[name]([buffer]) == [md5] for buffer, md5 in zip(buffers[:3], wanted, strict=False))


@pytest.mark.parametrize("part_bytes", [1, 64, 1000, 4096, 100_000])
def test_an_etag_in_parts_of_a_buffer_is_that_of_the_file(tmp_path: Path, part_bytes: int) -> None:
    content = NOISE[:10_000]
    (tmp_path / "a.png").write_bytes(content)
    told = hashing.multipart_etag_of(str(tmp_path / "a.png"), part_bytes).etag
    assert hashing.multipart_etag(memoryview(content), part_bytes) == told


@pytest.mark.parametrize("count", range(41))
@pytest.mark.parametrize("name", WAYS)
def test_any_number_of_files(name: str, count: int, shelf: dict[int, tuple[str, str]]) -> None:
    """As many lanes as files, fewer, and more: of equal lengths, and of lengths that all end apart."""
    for sizes in ([1000] * count, range(64, 64 + count), range(0, 5 * count, 5)):
        picked = [shelf[size] for size in sizes if size in shelf]
        assert [outcome[3] for outcome in WAYS[name]([path for path, _ in picked])] == [md5 for _, md5 in picked]


def test_results_are_in_order_and_carry_size_and_time(way: str, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "cab"]
    for number, path in enumerate(paths):
        path.write_bytes(b"x" * number)
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number))
    assert hashing.hash_files([str(path) for path in paths]) == [
        HashedFile(str(path), number, 1_700_000_000_123_456_789 + number, hashlib.md5(b"x" * number).hexdigest())
        for number, path in enumerate(paths)
    ]


def test_times_before_1970_are_times(way: str, tmp_path: Path) -> None:
    path = tmp_path / "old.png"
    path.touch()
    os.utime(path, ns=(0, -1_500_000_001))
    result = _hash(path)
    assert isinstance(result, HashedFile)
    assert result.mtime_ns == path.stat().st_mtime_ns == -1_500_000_001


def test_many_threads_at_once(way: str, shelf: dict[int, tuple[str, str]]) -> None:
    files = list(shelf.values()) * 4
    calls = [files[start : start + 9] for start in range(0, len(files), 9)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda call: hashing.hash_files([path for path, _ in call]), calls))
    for call, result in zip(calls, results, strict=True):
        assert [file.md5 for file in result if isinstance(file, HashedFile)] == [md5 for _, md5 in call]


def test_no_files_are_no_results(way: str) -> None:
    assert hashing.hash_files([]) == []


# ---- What can't be hashed ------------------------------------------------------------------------------------------


def test_one_bad_file_never_stops_the_others(way: str, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    good.write_bytes(b"good")
    os.mkfifo(tmp_path / "fifo.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
    (tmp_path / "circle.png").symlink_to("circle.png")
    bad = {
        str(tmp_path / "absent.png"): "Cannot read * No such file or directory",
        str(tmp_path): "* is not a regular file",
        str(tmp_path / "fifo.png"): "* is not a regular file",
        str(tmp_path / "s"): "* is not a regular file",
        "/dev/null": "* is not a regular file",
        str(tmp_path / "circle.png"): "Cannot read * Too many levels of symbolic links",
        str(tmp_path / ("x" * 300)): "Cannot read * File name too long",
        "nul\0.png": "Cannot read * Invalid argument",
        "surrogate\ud800.png": "Cannot read * Invalid argument",
        "": "Cannot read * No such file or directory",
    }
    paths = [path for name in bad for path in (name, str(good))]
    results = hashing.hash_files(paths)
    assert [result.md5 for result in results[1::2] if isinstance(result, HashedFile)] == [
        hashlib.md5(b"good").hexdigest()
    ] * len(bad)
    for result, message in zip(results[::2], bad.values(), strict=True):
        assert isinstance(result, LocalError)
        assert not isinstance(result, ChangingFile)
        start, _, end = message.partition("*")
        assert str(result).startswith(start)
        assert str(result).endswith(end)
        assert str(result).isprintable()
        assert result.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(way: str, tmp_path: Path) -> None:
    path = tmp_path / "private.png"
    path.touch(mode=0)
    result = _hash(path)
    assert isinstance(result, LocalError)
    assert "Permission denied" in str(result)
    assert "permissions" in result.hint


def test_a_name_that_is_not_unicode_is_a_name(way: str, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(path)).write_bytes(b"abc")
    (result,) = hashing.hash_files([os.fsdecode(path)])
    assert isinstance(result, HashedFile)
    assert result.md5 == "900150983cd24fb0d6963f7d28e17f72"


@pytest.fixture
def scarce() -> Iterator[Callable[[int], None]]:
    """Leaves this process as many unused file descriptors as is asked for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def leave(free: int) -> None:
        highest = os.open("/dev/null", os.O_RDONLY)
        taken.append(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, highest + 20), hard))
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(free):
            os.close(taken.pop())

    yield leave
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("free", [1, 3])
def test_few_file_descriptors_are_enough(
    way: str, free: int, scarce: Callable[[int], None], shelf: dict[int, tuple[str, str]]
) -> None:
    files = list(shelf.values())
    scarce(free)
    results = hashing.hash_files([path for path, _ in files])
    assert [result.md5 for result in results if isinstance(result, HashedFile)] == [md5 for _, md5 in files]


def test_no_file_descriptor_is_an_error_of_each_file(
    way: str, scarce: Callable[[int], None], shelf: dict[int, tuple[str, str]]
) -> None:
    scarce(0)
    results = hashing.hash_files([path for path, _ in shelf.values()])
    assert {str(result).rpartition(": ")[2] for result in results} == {os.strerror(errno.EMFILE)}


def test_no_file_stays_open(way: str, tmp_path: Path, shelf: dict[int, tuple[str, str]]) -> None:
    before = len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
    hashing.hash_files([str(tmp_path), str(tmp_path / "absent"), *(path for path, _ in shelf.values())])
    assert len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd")) == before


# ---- Files that change ---------------------------------------------------------------------------------------------


def test_a_file_that_is_touched_while_it_is_read_has_no_hash(way: str, tmp_path: Path) -> None:
    path = tmp_path / "busy.png"
    with path.open("wb") as file:
        file.truncate(128_000_000)
    quiet = tmp_path / "quiet.png"
    quiet.write_bytes(b"abc")
    moments = iter(range(1_700_000_000_000_000_000, 1_800_000_000_000_000_000, 1_000_000))
    with _meanwhile(lambda: os.utime(path, ns=(0, next(moments)))):
        changing, still = hashing.hash_files([str(path), str(quiet)])
    assert isinstance(changing, ChangingFile)
    assert str(changing) == f"{path} changed while it was hashed"
    assert changing.hint
    assert isinstance(still, HashedFile)
    assert isinstance(_hash(path), HashedFile)


@pytest.mark.parametrize("sizes", [range(0, 6_000_000, 1001), range(6_000_000, 0, -1001)], ids=["growing", "shrinking"])
def test_a_file_of_changing_size_has_the_hash_of_one_of_its_states_or_none(
    way: str, sizes: range, tmp_path: Path
) -> None:
    path = tmp_path / "download.png"
    path.write_bytes(bytes(sizes[0]))
    states = iter(sizes)
    with _meanwhile(lambda: os.truncate(path, next(states, sizes[-1]))):
        results = [_hash(path) for _ in range(10)]
    for result in results:
        if isinstance(result, HashedFile):
            assert result.md5 == hashlib.md5(bytes(result.size_bytes)).hexdigest()
        else:
            assert isinstance(result, ChangingFile)


@pytest.mark.parametrize("path", ["/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"])
def test_a_file_that_holds_more_or_less_than_its_size_says_has_no_hash(way: str, path: str) -> None:
    """The kernel's files claim 0 or 4096 bytes: what a file that grew or shrank looks like, each time."""
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    assert isinstance(_hash(Path(path)), ChangingFile)
    with pytest.raises(ChangingFile):
        hashing.multipart_etag_of(path, 1000)


@pytest.mark.parametrize("changes", [0, 1, 2, 3])
def test_a_changed_file_alone_is_read_anew_three_times_at_most(
    changes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = [str(tmp_path / name) for name in ("still", "busy", "quiet")]
    asked: list[list[str]] = []

    def hash_once(some: list[str]) -> list[tuple[int, int, int, str]]:
        asked.append(some)
        changed = len(asked) <= changes
        return [
            (hashing.CHANGED, 0, 0, "") if changed and path == paths[1] else (0, 1, len(asked), path) for path in some
        ]

    monkeypatch.setattr(hashing, "_hash_once", hash_once)
    still, busy, quiet = hashing.hash_files(paths)
    assert asked == [paths, *[[paths[1]]] * min(changes, 2)]
    assert still == HashedFile(paths[0], 1, 1, paths[0])
    assert quiet == HashedFile(paths[2], 1, 1, paths[2])
    if changes < 3:
        assert busy == HashedFile(paths[1], 1, changes + 1, paths[1])
    else:
        assert isinstance(busy, ChangingFile)


# ---- Parts ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(size=st.sampled_from(EDGES), part=st.integers(1, 3 * BUFFER_BYTES))
def test_the_multipart_etag_is_that_of_the_parts(size: int, part: int, shelf: dict[int, tuple[str, str]]) -> None:
    part = max(part, size // 500)
    path = shelf[size][0]
    data = Path(path).read_bytes()
    md5s = [hashlib.md5(data[start : start + part]).digest() for start in range(0, max(size, 1), part)]
    mtime_ns = os.stat(path).st_mtime_ns
    assert hashing.multipart_etag_of(path, part) == hashing.HashedParts(path, size, mtime_ns, etag.multipart_etag(md5s))


def test_a_multipart_etag_has_no_parts_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        hashing.multipart_etag_of(str(tmp_path), 0)


def test_a_multipart_etag_of_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        hashing.multipart_etag_of(str(tmp_path / "absent.png"), 1000)
    with pytest.raises(LocalError, match="not a regular file"):
        hashing.multipart_etag_of(str(tmp_path), 1000)


# ---- The extension -------------------------------------------------------------------------------------------------

needs_extension = pytest.mark.skipif(not VARIANTS, reason="the extension was not built")


@needs_extension
def test_the_extension_is_used_and_speaks_the_same_language() -> None:
    assert hashing._hash_once is _md5lanes.hash_files
    assert hashing._hash_buffers is _md5lanes.hash_buffers
    assert (_md5lanes.NOT_REGULAR, _md5lanes.CHANGED) == (hashing.NOT_REGULAR, hashing.CHANGED)
    assert _md5lanes.VARIANTS[-1] == "portable"


@needs_extension
def test_the_extension_refuses_what_is_no_list_of_paths() -> None:
    with pytest.raises(ValueError, match="no variant mmx"):
        _md5lanes.hash_files([], "mmx")
    refused: list[tuple[Any, ...]] = [(), ("path",), ([1],), ([None],), (["path", 1.5],), ([], 1)]
    for arguments in refused:
        with pytest.raises(TypeError):
            _md5lanes.hash_files(*arguments)


@needs_extension
def test_the_extension_refuses_what_is_no_list_of_buffers() -> None:
    with pytest.raises(ValueError, match="no variant mmx"):
        _md5lanes.hash_buffers([], "mmx")
    refused: list[tuple[Any, ...]] = [
        (),
        (b"abc",),
        (["abc"],),
        ([b"", None],),
        ([memoryview(bytes(9))[::2]],),
        ([], 1),
    ]
    for arguments in refused:
        with pytest.raises((TypeError, BufferError)):
            _md5lanes.hash_buffers(*arguments)


@needs_extension
def test_ctrl_c_is_heard_while_a_huge_file_is_hashed(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 36)
    before = len(os.listdir("/dev/fd"))
    previous = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    timer.start()
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            hashing.hash_files([str(path)])
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, previous)
    assert time.monotonic() - started < 60
    assert len(os.listdir("/dev/fd")) == before
