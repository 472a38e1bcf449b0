"""A program that moves the images of a tree again and again, and kills each run at a random moment. Run as a process of its own:

    python killed_verbs.py ROOT STORE TIMES SEED

STORE is a folder that holds the buckets, or the endpoint of an S3 server. After each kill: nothing is lost, no manifest is torn, and either the
same verb, run again, finishes what was begun, or an undo puts back what was there, or names what it left. Prints how many runs were killed while
they moved something, and how many before or after that.
"""

from __future__ import annotations

import io
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image as Picture

from callsheet import relook
from callsheet.errors import PlanError
from callsheet.layout import Layout
from callsheet.library import Library
from callsheet.remote import Remote
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.result import Proposal
from callsheet.settings import open_library
from factory import Tree
from sim.world import World, read_rows, read_world, status_of

ACTORS = ("0000_ann", "0001_bo")
NAMES = [f"{number}.png" for number in range(8)]
VERBS = ("push", "pull", "repair", "evict", "rm", "undo")
_SIDE = 140
_FASTER, _SLOWER = 0.8, 1.25
"""How much sooner to kill after a run that had ended, and how much later after one that had not begun."""


class Scene:
    """The tree and its store, and what is done to them."""

    def __init__(self, root: str, store: str, seed: int) -> None:
        self._store = store
        self.tree = Tree(Path(root), self._opened())
        self.rng = random.Random(seed)
        self.moment_s = 1_760_000_000

    def _opened(self) -> Remote:
        region = Layout().region
        if self._store.startswith("http"):
            return S3Remote(region, endpoint_url=self._store)
        return DirectoryRemote(self._store, region)

    def library(self) -> Library:
        return self.tree.library()

    def apply_elsewhere(self, proposal: Proposal) -> None:
        """As in a process of its own, which shares no connection with this one."""
        open_library(self.tree.root, remote=self._opened(), environ={}).apply(proposal)

    def world(self) -> World:
        return read_world(self.tree.root, self.tree.where, self.tree.remote, [self.tree.where.bucket])

    def picture(self) -> bytes:
        """An image of about 60 kB that is unlike any other."""
        file = io.BytesIO()
        Picture.frombytes("RGB", (_SIDE, _SIDE), self.rng.randbytes(3 * _SIDE * _SIDE)).save(
            file, "PNG", compress_level=0
        )
        return file.getvalue()

    def edit(self, verb: str) -> None:
        """Give the next run something to do."""
        for actor in ACTORS:
            for name in self.rng.sample(NAMES, 5):
                self.moment_s += 1
                content = self.picture()
                if verb in ("push", "repair"):
                    self.tree.image(actor, name, content, mtime_s=self.moment_s)
                elif verb == "pull":
                    (self.tree.folder(actor) / name).unlink(missing_ok=True)
                    self.tree.object(actor, name, content)
                else:
                    self.tree.image(actor, name, content, mtime_s=self.moment_s)
                    self.tree.object(actor, name, content)
                if verb == "repair":
                    self.tree.object(actor, name, self.picture())
                if verb == "push":
                    self.tree.remote.delete(self.tree.where.location(actor, name))

    def proposed(self, verb: str, past: str = "") -> Proposal:
        """All that the verb finds to do."""
        if verb == "undo":
            return self.library().plan_undo(past)
        prefer = "s3" if verb == "repair" else ""
        return self.library().plan(verb, ACTORS if verb == "rm" else (), prefer=prefer, record_later=True)

    def check_statuses(self) -> None:
        """After a sync, each status is what the bytes say."""
        self.library().sync(accept_loss=True)
        world = self.world()
        rows = read_rows(self.tree.root, self.tree.where)
        wanted = {
            image: status_of(world.here.get(image), world.there.get(self.tree.where.location(*image))) for image in rows
        }
        assert {image: row.status for image, row in rows.items()} == wanted
        assert not set(world.here) - set(rows)


def killed(run: Callable[[], object], after_s: float) -> bool:
    """Run in a process of its own that gets SIGKILL; whether that came before its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        finally:
            os._exit(code)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the run failed"
    return os.WIFSIGNALED(status)


def _go_on(scene: Scene, verb: str, before: World, run: str, past: str) -> None:
    """What follows a kill: the same verb again, or an undo of what it did."""
    if verb == "undo":
        scene.library().apply(scene.proposed("undo", past))  # what was taken back already is named, or needs nothing
    elif run and scene.rng.random() < 0.5:
        try:
            result = scene.library().apply(scene.proposed("undo", run))
        except PlanError:  # killed before the first line of its journal was written
            assert scene.world() == before
            return
        told = {(problem.actor, problem.filename) for problem in result.report.problems}
        now = scene.world()
        for actor in ACTORS:
            for name in NAMES:
                image, place = (actor, name), scene.tree.where.location(actor, name)
                same = now.here.get(image) == before.here.get(image) and now.there.get(place) == before.there.get(place)
                assert same or image in told, f"{image} was not taken back after a killed {verb}, and not named"
    else:
        scene.library().apply(scene.proposed(verb))
        assert not scene.proposed(verb).plan.actions, f"{verb} left something after it was run again"


def main(root: str, store: str, times: int, seed: int) -> None:
    relook._FEWEST = 1  # pushes and pulls of these few look at the one actor while the other's images are moved
    scene = Scene(root, store, seed)
    usual_s = dict.fromkeys(VERBS, 0.0)
    midst = aside = 0
    for number in range(times + len(VERBS)):
        verb, measured = VERBS[number % len(VERBS)], number >= len(VERBS)
        scene.edit("push" if verb == "undo" else verb)
        past = ""
        if verb == "undo":
            past = scene.library().apply(scene.proposed("push")).run_id
        before, known = scene.world(), set(scene.library().journal.runs())
        proposal = scene.proposed(verb, past)
        if not measured:
            start = time.perf_counter()
            scene.apply_elsewhere(proposal)
            usual_s[verb] = time.perf_counter() - start
        else:
            died = killed(partial(scene.apply_elsewhere, proposal), scene.rng.uniform(0, 1) * usual_s[verb])
            new = [run for run in scene.library().journal.runs() if run not in known]
            midst, aside = midst + (died and bool(new)), aside + (not died or not new)
            usual_s[verb] *= _SLOWER if died and not new else _FASTER if not died else 1
            assert before.contents <= scene.world().contents, f"a killed {verb} lost something"
            _go_on(scene, verb, before, new[0] if new else "", past)
        assert before.contents <= scene.world().contents, f"{verb} lost something"
        scene.check_statuses()
        scene.library().empty_trash()
    print(midst, aside)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
