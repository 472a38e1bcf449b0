"""A directory that stands in for S3: it holds one folder per bucket, and in it a file per object (see `paths`)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import partial
from io import BufferedReader, BufferedWriter

from callsheet import system
from callsheet.errors import (
    AccessDenied,
    BadDigest,
    BrokenListing,
    NoSuchBucket,
    NoSuchObject,
    RemoteError,
    Unreachable,
)
from callsheet.layout import printable, s3_url
from callsheet.model import Location, RemoteObject
from callsheet.remote import bodies
from callsheet.remote.conditions import changed, holds
from callsheet.remote.contract import ANYTHING, Anything, Held, Reading, Source
from callsheet.remote.names import check_bucket, check_expiry, check_location, check_text, shown, within
from callsheet.remote.paths import decode_file, decode_folder, encode_file, encode_folder, encode_key

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_PUT_ATTEMPTS = 10
# `%p` starts no encoded byte, so no key has this name and no listing shows it.
_TEMPORARY = "%put-"
_LOCKLESS = (
    "The file system of the directory that stands in for S3 cannot lock: objects that someone else changes in the same instant "
    "may be overwritten."
)

_Identity = tuple[int, int, int]


class DirectoryRemote:
    """The `Remote` of a local directory. An ETag is the MD5 of the file's bytes, computed when it is asked for.

    Regular files only: symbolic links are neither followed nor listed, and a file whose name `paths` would not have given it
    is no object. On a file system that folds letter case or Unicode forms, such twins are one object.
    """

    def __init__(self, path: str, region: str) -> None:
        """`path` holds the buckets' folders. `region` is the one in URLs, which are those that S3 would have."""
        self._path = os.path.abspath(path)
        self._region = region
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._lockless = False
        self._md5s: dict[str, tuple[_Identity, str]] = {}

    def __reduce__(self) -> tuple[type[DirectoryRemote], tuple[str, str]]:
        return DirectoryRemote, (self._path, self._region)

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        task = f"list s3://{bucket}/{printable(prefix)}"
        check_text(prefix)
        with _mapped(task):
            root = self._bucket(bucket, task)
            *segments, _ = prefix.split("/")
            folder = os.path.join(root, *map(encode_folder, segments))
            if system.realpath(folder) == folder:
                for key, path in _walk(folder, prefix[: prefix.rfind("/") + 1], prefix, after, before):
                    listed = self._listed(Location(bucket, key), path)
                    if listed is not None:
                        yield listed
            # A disk that was unmounted meanwhile looks like empty folders.
            self._bucket(bucket, task)

    def head(self, location: Location) -> RemoteObject:
        with _mapped(f"look at {shown(location)}"):
            return self._described(location, self._file(location, "look at"))

    def read(self, location: Location, *, if_match: str, into: memoryview | None = None) -> Reading:  # noqa: ARG002  in blocks
        with _mapped(f"read {shown(location)}"), contextlib.ExitStack() as stack:
            file = stack.enter_context(system.open_file(self._file(location, "read"), "rb"))
            before, md5 = self._hashed(file)
            if md5 != if_match:
                raise changed("read", location)
            file.seek(0)
            blocks = _blocks(file, before, location)
            next(blocks)
            stack.pop_all()
            return Reading(_object(location, before, md5), blocks)

    def put(self, location: Location, body: bytes | Source, *, md5: str, replaces: Held = ANYTHING) -> str:
        check_location(location)
        task = f"write {shown(location)}"
        with _mapped(task), _temporary(self._bucket(location.bucket, task), location.key) as file:
            if _written(file, body, location) != md5:
                raise BadDigest(f"Cannot {task}: the bytes are not those that were announced")
            return self._publish("write", location, file, md5, replaces)

    def copy(self, source: Location, target: Location, *, if_match: str, replaces: Held = ANYTHING) -> str:
        check_location(target)
        reading = self.read(source, if_match=if_match)
        task = f"copy to {shown(target)}"
        with _mapped(task), _temporary(self._bucket(target.bucket, task), target.key) as file:
            file.writelines(reading.blocks)
            return self._publish("copy to", target, file, if_match, replaces)

    def delete(self, location: Location, *, if_match: str | Anything = ANYTHING) -> None:
        check_location(location)
        task = f"delete {shown(location)}"
        with _mapped(task):
            root = self._bucket(location.bucket, task)
            path = os.path.join(root, encode_key(location.key))
            with self._alone(root):
                held = self._held(location) if if_match is not ANYTHING else None
                if held is not None and held != if_match:
                    raise changed("delete", location)
                try:
                    system.unlink(self._file(location, "delete"))
                except (NoSuchObject, FileNotFoundError):
                    return
            with self._lock:
                self._md5s.pop(path, None)
            _remove_empty_folders(os.path.dirname(path), root)

    def notes(self) -> tuple[str, ...]:
        return (_LOCKLESS,) if self._lockless else ()

    def url(self, location: Location) -> str:
        return s3_url(location, self._region)

    def presigned(self, location: Location, *, expires_s: int, content_type: str) -> str | None:  # noqa: ARG002
        check_location(location)
        check_expiry(expires_s)
        return None

    def origin(self, bucket: str) -> str | None:
        check_bucket(bucket)
        return None

    def _bucket(self, bucket: str, task: str) -> str:
        check_bucket(bucket)
        path = system.realpath(os.path.join(self._path, bucket))
        try:
            found = stat.S_ISDIR(system.stat(path).st_mode)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            found = False
        if not found:
            raise NoSuchBucket(
                f"Cannot {task}: there is no folder {path}", hint="Create it, or check the bucket's name"
            )
        return path

    def _file(self, location: Location, verb: str) -> str:
        """The object's file, which is there and is one: what a listing would show."""
        check_location(location)
        path = os.path.join(self._bucket(location.bucket, f"{verb} {shown(location)}"), encode_key(location.key))
        try:
            found = stat.S_ISREG(system.lstat(path).st_mode) and system.realpath(path) == path
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            found = False
        if not found:
            raise NoSuchObject(f"Cannot {verb} {shown(location)}: there is no such object", hint="Sync again")
        return path

    def _listed(self, location: Location, path: str) -> RemoteObject | None:
        """None for a file that went away since its folder was read."""
        try:
            return self._described(location, path)
        except FileNotFoundError:
            return None

    def _held(self, location: Location) -> str | None:
        """The ETag of the object that is there, if one is."""
        try:
            return self._described(location, self._file(location, "look at")).etag
        except (NoSuchObject, FileNotFoundError):
            return None

    @contextlib.contextmanager
    def _alone(self, root: str) -> Iterator[None]:
        """Nobody else who goes through a `DirectoryRemote`, here or in another process, changes an object of the bucket meanwhile."""
        with self._writing:
            descriptor = system.open(root, os.O_RDONLY)
            try:
                try:
                    system.flock(descriptor, fcntl.LOCK_EX)
                except OSError:
                    self._lockless = True
                yield
            finally:
                system.close(descriptor)

    def _publish(self, verb: str, location: Location, file: BufferedWriter, md5: str, replaces: Held) -> str:
        """Put a temporary file in its object's place, so that any reader sees the old one or the new one, also after a crash."""
        root = self._bucket(location.bucket, f"{verb} {shown(location)}")
        path = os.path.join(root, encode_key(location.key))
        file.flush()
        system.fsync(file.fileno())
        with self._alone(root):
            held = None if replaces is ANYTHING else self._held(location)
            if not holds(replaces, held):
                if held != md5:
                    raise changed(verb, location, replaces)
                return md5
            system.replace(file.name, path)
            self._remember(path, system.fstat(file.fileno()), md5)
        _sync_folder(os.path.dirname(path))
        return md5

    def _described(self, location: Location, path: str) -> RemoteObject:
        status = system.lstat(path)
        md5 = self._remembered(path, status)
        if md5 is None:
            with system.open_file(path, "rb") as file:
                status, md5 = self._hashed(file)
        return _object(location, status, md5)

    def _hashed(self, file: BufferedReader) -> tuple[os.stat_result, str]:
        """Status and MD5 of one and the same open file."""
        status = system.fstat(file.fileno())
        md5 = self._remembered(file.name, status)
        if md5 is None:
            md5 = hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
            self._remember(file.name, status, md5)
        return status, md5

    def _remembered(self, path: str, status: os.stat_result) -> str | None:
        with self._lock:
            identity, md5 = self._md5s.get(path, (None, None))
        return md5 if identity == _identity(status) else None

    def _remember(self, path: str, status: os.stat_result, md5: str) -> None:
        with self._lock:
            self._md5s[path] = (_identity(status), md5)


def _object(location: Location, status: os.stat_result, md5: str) -> RemoteObject:
    modified = datetime.fromtimestamp(status.st_mtime_ns // 1_000_000_000, UTC)
    return RemoteObject(location, status.st_size, md5, modified, etag_is_md5=True)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _walk(folder: str, start: str, prefix: str, after: str, before: str) -> Iterator[tuple[str, str]]:
    """(key, file) of what lies below `folder`, whose keys start with `start`, in ascending order of keys."""
    depths = [iter(_children(folder, start))]
    while depths:
        child = next(depths[-1], None)
        if child is None:
            depths.pop()
        elif child[0].startswith(prefix):
            key, path, is_folder = child
            if is_folder and (key > after or after.startswith(key)) and (not before or key < before):
                depths.append(iter(_children(path, key)))
            elif not is_folder and within(key, after, before):
                yield key, path


def _children(folder: str, start: str) -> list[tuple[str, str, bool]]:
    """(key, path, is a folder) of what is directly in a folder. A folder counts as `name/`, which is how its keys sort."""
    children: list[tuple[str, str, bool]] = []
    try:
        with system.scandir(folder) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                segment = decode_folder(entry.name) if is_folder else decode_file(entry.name)
                if segment is None and _meant_for_an_object(entry.name, is_folder=is_folder):
                    raise _misnamed(entry.path, is_folder=is_folder)
                if segment is not None and (is_folder or entry.is_file(follow_symlinks=False)):
                    children.append((f"{start}{segment}/" if is_folder else start + segment, entry.path, is_folder))
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    return sorted(children)


def _meant_for_an_object(name: str, *, is_folder: bool) -> bool:
    """Whether somebody who put `name` there by hand will miss it: a README or a hidden file is nobody's object."""
    return not name.startswith((".", _TEMPORARY)) and (is_folder or "." in name)


def _misnamed(path: str, *, is_folder: bool) -> BrokenListing:
    """A file that was put there by hand: which object it should be is not ours to guess."""
    name = os.path.basename(path)
    better = encode_folder(name) if is_folder else encode_file(name)
    hint = f"Rename it to {printable(better)}, which stands for that name"
    return BrokenListing(f"{printable(path)} has a name that this store does not write", hint=hint)


def _blocks(file: BufferedReader, before: os.stat_result, location: Location) -> Generator[bytes]:
    """A file's blocks, after an empty one: once that is taken, the file is closed even if no other is."""
    with _mapped(f"read {shown(location)}"), file:
        yield b""
        left_bytes = before.st_size
        while left_bytes and (block := file.read(min(bodies.BLOCK_BYTES, left_bytes))):
            left_bytes -= len(block)
            yield block
        if left_bytes:
            raise Unreachable(f"Cannot read {shown(location)}: the file ended early", hint="Sync again")
        if _identity(system.fstat(file.fileno())) != _identity(before):
            raise changed("read", location)


@contextlib.contextmanager
def _temporary(root: str, key: str) -> Iterator[BufferedWriter]:
    """A new file beside the object's. It goes away at the end, unless it took the object's place."""
    folder = os.path.dirname(os.path.join(root, encode_key(key)))
    with _new_file(folder) as file:
        try:
            yield file
        except BaseException:
            with contextlib.suppress(OSError):
                system.unlink(file.name)
                _remove_empty_folders(folder, root)
            raise
        with contextlib.suppress(FileNotFoundError):
            system.unlink(file.name)


def _new_file(folder: str) -> BufferedWriter:
    for attempt in range(_PUT_ATTEMPTS):
        system.makedirs(folder)
        if system.realpath(folder) != folder:
            raise NotADirectoryError(errno.ENOTDIR, "A symbolic link is in the way", folder)
        try:
            return system.open_file(os.path.join(folder, _TEMPORARY + system.urandom(8).hex()), "xb")
        except FileNotFoundError:
            # A deletion nearby took the folder away while it was empty.
            if attempt == _PUT_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _written(file: BufferedWriter, body: bytes | Source, location: Location) -> str:
    """Write a body to a file. Returns its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with bodies.opened(body, location) as source:
        for block in bodies.blocks(source, bodies.size_of(body), location):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _sync_folder(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = system.open(folder, os.O_RDONLY)
        try:
            system.fsync(descriptor)
        finally:
            system.close(descriptor)


def _remove_empty_folders(folder: str, root: str) -> None:
    """Remove `folder` and those above it as far as they are empty: S3 has no folders."""
    while folder != root:
        try:
            system.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)


@contextlib.contextmanager
def _mapped(task: str) -> Iterator[None]:
    """Turns what the file system says into an error of ours."""
    try:
        yield
    except PermissionError as error:
        raise AccessDenied(f"Cannot {task}: permission denied", hint=f"Check the rights on {error.filename}") from error
    except FileNotFoundError as error:
        raise NoSuchObject(f"Cannot {task}: the file is gone", hint="Sync again") from error
    except OSError as error:
        hint = "Rename the file" if error.errno == errno.ENAMETOOLONG else "Check the disk"
        raise RemoteError(f"Cannot {task}: {error.strerror or error}", hint=hint) from error
