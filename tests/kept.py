"""What every test of a fault ends with: the faulty item is named, nothing was lost, and a run without the fault finishes the job."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from functools import cache

from PIL import Image

from callsheet.library import Library
from callsheet.model import Problem
from callsheet.remote import Remote
from callsheet.result import Transfer
from factory import USER_BUCKET, Tree


def picture(text: str, size_bytes: int = 0) -> bytes:
    """An image that decodes; `text` makes it another than all others. At least `size_bytes` long."""
    content = _png() + text.encode()
    return content + b"\0" * (size_bytes - len(content))


@cache
def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), "teal").save(file, "PNG")
    return file.getvalue()


class Witness:
    """Remembers every content that is on either side when it is made, in the trash or not."""

    def __init__(self, tree: Tree, *, remote: Remote | None = None, buckets: Iterable[str] = ()) -> None:
        """`remote` is looked into in place of the tree's, which may be faulty."""
        self._tree = tree
        self._remote = remote or tree.remote
        self._buckets = tuple(buckets) or (tree.where.bucket, USER_BUCKET)
        self._before = self.everything()

    def everything(self) -> set[bytes]:
        return {*_files(self._tree), *self._objects()}

    def nothing_lost(self, *more: bytes) -> None:
        """Every content from before, and each of `more`, is still somewhere; and nothing half done lies about."""
        lost = (self._before | set(more)) - self.everything()
        assert not lost, f"{len(lost)} contents are gone: {sorted(content[-30:] for content in lost)}"
        litter = [path for path in self._tree.root.rglob(".callsheet-*") if path.is_file()]
        assert not litter, litter

    def _objects(self) -> Iterable[bytes]:
        for bucket in self._buckets:
            for item in list(self._remote.list(bucket, "")):
                yield b"".join(self._remote.read(item.location, if_match=item.etag).blocks)


def _files(tree: Tree) -> Iterable[bytes]:
    for top in (tree.where.actors_dir, tree.where.trash_dir):
        for folder, _, names in os.walk(tree.root / top, followlinks=True):
            for path in (os.path.join(folder, name) for name in names if not name.startswith(".")):
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        yield file.read()


def carried_out(library: Library, verb: str, *actors: str, only: Iterable[str] = (), prefer: str = "") -> Transfer:
    """Plan a verb and carry it out at once."""
    return library.apply(library.plan(verb, actors, only=only, prefer=prefer, record_later=True))


def named(result: Transfer, actor: str, filename: str, code: str, *words: str) -> Problem:
    """The one problem of an image: it has the code and the words, which say what happened and what to do."""
    found = [problem for problem in result.report.problems if (problem.actor, problem.filename) == (actor, filename)]
    assert [problem.code for problem in found] == [code], result.report.problems
    assert all(word in found[0].message for word in words), found[0].message
    return found[0]


def settled(tree: Tree) -> None:
    """What the manifests say is what a sync finds: it writes nothing and tells no problem."""
    manifests = tree.manifests()
    report = tree.library().sync()
    assert not report.problems, report.problems
    assert tree.manifests() == manifests
    assert report.manifests_updated == 0
