"""Bringing images here, several at a time.

Rules of this module: what comes is in memory, hashed and checked, before a file holds it; only what is too large for that goes into a
temporary file at once. All files of a batch are written and made durable together, which costs a fraction of doing it one by one.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from callsheet import drafts, etag, hashing, local, pictures, reconcile, system
from callsheet.action import Action, Outcome, Version
from callsheet.drafts import Draft, Fresh
from callsheet.errors import BadDigest, CallsheetError, DamagedImage, LocalError, ObjectChanged
from callsheet.model import HashedFile, RemoteObject
from callsheet.remote.contract import Reading
from callsheet.site import AGAIN, Site, check_place, put_back, side, take

_ATTEMPTS = 3
"""How often an object is fetched if its bytes arrive flipped."""

APART_NS = 1_000_000
"""By how much a file's modification time is put off if it would be that of the file that it replaces."""

_ROOM_BYTES = 16 << 20
"""The most memory that a batch takes; what has no room in it goes through a file."""

_Came = memoryview | str
"""All of an object: in memory, or in the file of that path."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a new file is wanted."""

    path: str
    within: str


class _IfThere(_Place):
    """Only if the folder is there."""


_Ask = _IfThere | _Place | _Came | Fresh | Draft
_Fetch = Generator[_Ask, Any, Outcome]
"""A fetch under way: it yields what is to be done for it, in the order of `_STEPS`, and is sent what came of that. What takes the place of another
file it publishes itself."""


def download(site: Site, actions: Sequence[Action]) -> list[Outcome | CallsheetError]:
    """Carry out downloads, each on its own, though in step. Returns the outcome of each, or the error that says why it was not done."""
    results: dict[int, Outcome | CallsheetError] = {}
    arrived: list[set[str]] = [set() for _ in actions]
    waiting = list(range(len(actions)))
    with _room(site) as room:
        for _ in range(_ATTEMPTS):
            shares = _shares(room, [side(actions[number].s3).size_bytes for number in waiting])
            fetches = {
                number: _fetch(site, actions[number], share, arrived[number])
                for number, share in zip(waiting, shares, strict=True)
            }
            _in_step(fetches, results)
            waiting = [number for number in waiting if isinstance(results[number], BadDigest)]
            if not waiting:
                break
    return [results[number] for number in range(len(actions))]


@contextmanager
def _room(site: Site) -> Iterator[memoryview]:
    """Memory for one batch, from a page on; used again by the next, so that the system need not clear it each time. Empty if there is none."""
    try:
        room = site.rooms.pop()
    except IndexError:
        try:
            room = mmap.mmap(-1, _ROOM_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            yield memoryview(b"")
            return
    try:
        yield memoryview(room)
    finally:
        site.rooms.append(room)


def _shares(room: memoryview, sizes_bytes: Iterable[int]) -> Iterator[memoryview | None]:
    """A part of the room for each size, each from a page on; None where there is not so much left."""
    start = 0
    for size_bytes in sizes_bytes:
        if start + size_bytes > len(room):
            yield None
            continue
        yield room[start : start + size_bytes]
        start += -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _in_step(fetches: Mapping[int, _Fetch], results: dict[int, Outcome | CallsheetError]) -> None:
    """Bring fetches to their ends, each step for all of them before the next."""
    asked: dict[int, _Ask] = {}
    answers: Mapping[int, Any] = dict.fromkeys(fetches)
    try:
        while answers:
            for number, answer in answers.items():
                try:
                    asked[number] = _answered(fetches[number], answer)
                except StopIteration as end:
                    results[number] = end.value
                except CallsheetError as error:
                    results[number] = error
            answers = _next_step(asked)
    except BaseException:
        for answer in answers.values():
            if isinstance(answer, Draft):  # which its fetch may not have come to know
                drafts.abandon(answer)
        for fetch in fetches.values():
            fetch.close()
        raise


def _next_step(asked: dict[int, _Ask]) -> Mapping[int, Any]:
    """Do the first step that anybody waits for, for all who do: they wait no more. Returns what came of it, an error if it failed."""
    for kinds, do in _STEPS:
        waiting = {number: asked.pop(number) for number, ask in list(asked.items()) if isinstance(ask, kinds)}
        if waiting:
            return dict(zip(waiting, do([*waiting.values()]), strict=True))
    return {}


def _begun(places: Sequence[_Place], *, make_folders: bool) -> list[Draft | LocalError | None]:
    return drafts.begin([(place.path, place.within) for place in places], make_folders=make_folders)


def _hashed(came: Sequence[_Came]) -> list[str | LocalError]:
    """The MD5s, side by side. Of a file, what it cannot be hashed for."""
    held = iter(hashing.md5s([one for one in came if isinstance(one, memoryview)]))
    files = iter(hashing.hash_files([one for one in came if isinstance(one, str)]))
    return [next(held) if isinstance(one, memoryview) else _md5_of(next(files)) for one in came]


def _md5_of(hashed: HashedFile | LocalError) -> str | LocalError:
    return hashed if isinstance(hashed, LocalError) else hashed.md5


_STEPS: tuple[tuple[type | tuple[type, ...], Callable[[Any], list[Any]]], ...] = (
    (_IfThere, partial(_begun, make_folders=False)),
    (_Place, partial(_begun, make_folders=True)),
    ((memoryview, str), _hashed),
    (Fresh, drafts.write_durably),
    (Draft, drafts.publish),
)


def _answered(fetch: _Fetch, answer: Any) -> _Ask:
    """Let a fetch go on, with what came of what it asked for, or with what went wrong."""
    return fetch.throw(answer) if isinstance(answer, Exception) else fetch.send(answer)


def _fetch(site: Site, action: Action, memory: memoryview | None, arrived: set[str]) -> _Fetch:
    """One attempt: into memory, checked, and into a new file beside the image's place, or else into that at once; made durable, and only then
    into that place.

    `arrived` are the MD5s of attempts before that only another one could confirm.
    """
    check_place(site, action)
    wanted, path, within = side(action.s3), site.path(action), site.actor_folder(action)
    freely = memory if site.meter.limit_bytes_s is None else None
    kept = None
    # Before anything is read, so that a folder that cannot be written to costs no transfer; but none is made for what is not there.
    draft = yield _IfThere(path, within)
    try:
        reading = site.remote.read(action.location, if_match=str(wanted.etag), into=freely)
        with closing(reading.blocks):
            if reading.described.size_bytes != wanted.size_bytes:
                raise ObjectChanged(f"{action.location} has another size than was seen", hint=AGAIN)
            if memory is not None:
                _fill(site, reading, memory)
            draft = draft or (yield _Place(path, within))
            if memory is None:
                _write(site, reading, draft)
        came = draft.temporary if memory is None else memory
        md5 = yield came
        is_it = vouched(reading.described, wanted, md5, came)
        if is_it is False or (is_it is None and md5 not in arrived):
            arrived.add(md5)
            raise BadDigest(f"{action.location} arrived with other bytes than it has", hint="Try again")
        moment_ns = fetched_ns(reading.described)
        # Or it could be taken for the file that it replaces.
        if action.local is not None and local.mtime_ns(path) == moment_ns:
            moment_ns += APART_NS
        yield Fresh(draft, memoryview(b"") if memory is None else memory, moment_ns)
        telling = reconcile.is_settled(moment_ns, system.time_ns())
        if action.local is not None:
            if flaw := pictures.flaw(draft.temporary, action.filename):
                hint = "Prefer the local one: --prefer local"
                raise DamagedImage(f"The image in S3 is damaged: {flaw}", hint=hint)
            # At once: a file is away from its place no longer than must be, and others of the batch may take their time.
            kept = take(site, action, action.local)
            drafts.publish_one(draft)
        else:
            yield draft
    except BaseException:
        if kept is not None:
            put_back(site, action)
        raise
    finally:
        if draft is not None:
            drafts.abandon(draft)
    return Outcome(action, None, Version(wanted.size_bytes, md5), kept, moment_ns if telling else None)


def fetched_ns(described: RemoteObject) -> int:
    """The modification time of the file that a download makes of an object; it may be `APART_NS` later."""
    return int(described.last_modified.timestamp()) * 1_000_000_000


def _fill(site: Site, reading: Reading, memory: memoryview) -> None:
    if reading.fill is not None:
        for size_bytes in reading.fill():
            site.meter.pass_on(size_bytes)
        return
    filled = 0
    for block in reading.blocks:
        site.meter.pass_on(len(block))
        if filled + len(block) > len(memory):
            raise ObjectChanged(f"{reading.described.location} is larger than it was said to be", hint=AGAIN)
        memory[filled : filled + len(block)] = block
        filled += len(block)
    if filled < len(memory):  # what is after it is of another image
        raise ObjectChanged(f"{reading.described.location} is smaller than it was said to be", hint=AGAIN)


def _write(site: Site, reading: Reading, draft: Draft) -> None:
    """In a function of its own: a fetch that waits for its hash must not hold on to a block."""
    for block in reading.blocks:
        site.meter.pass_on(len(block))
        drafts.write(draft, block)


def vouched(described: RemoteObject, wanted: Version, md5: str, came: memoryview | str) -> bool | None:
    """Whether what arrived, in memory or in the file of that path, has every MD5 that is known of the object; None if it was cut into parts
    in no usual way, and only another reading can tell. Of an object whose ETag tells nothing it is taken to: the look after the run compares."""
    told = {wanted.md5, described.md5, described.etag if described.etag_is_md5 else None} - {None}
    parts = etag.is_multipart(described.etag)
    if told or not parts:
        return not told - {md5}
    return True if has_multipart_etag(came, wanted.size_bytes, described.etag, parts) else None


def has_multipart_etag(content: memoryview | str, size_bytes: int, tag: str, parts: int) -> bool:
    """Whether that is the ETag of these bytes, in memory or in the file of that path, in parts of some usual size."""
    if isinstance(content, str):
        return any(hashing.multipart_etag_of(content, size).etag == tag for size in etag.part_sizes(size_bytes, parts))
    return any(hashing.multipart_etag(content, size) == tag for size in etag.part_sizes(size_bytes, parts))
