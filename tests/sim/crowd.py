"""Several `callsheet` processes at once on one tree and one store, and what must be true when all have ended."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from callsheet import codec
from callsheet.layout import Layout
from callsheet.remote.s3 import S3Remote
from command import environment
from factory import Tree
from kept import picture
from servers import Server
from sim.world import Image, World, read_rows, read_world, status_of

_ACTORS = ("0000_ann", "0001_bo", "0002_cy")
_NAMES = tuple(f"{number}.png" for number in range(9))
_MARKING = 4
"""So many processes mark images, each its own."""
_MOVING = ("sync", "sync", "push", "push", "pull", "repair", "evict")
_PAUSE_S = 0.005
_SURE = ("repair", "evict", "rm", "undo")
_FINE = (0, 1)
"""Done; or done, but with problems, each named: of two that want to do the same, one finds it done.

What one takes away may look to the other like a disk that is not mounted: then that does nothing, and says why.
"""


@dataclass(frozen=True)
class Crowd:
    """A tree on a real disk. `env` is what lets another process find its store."""

    tree: Tree
    env: Mapping[str, str]

    def at_once(self, *commands: Sequence[str]) -> None:
        """Run these commands, each in a process of its own. While they run, every manifest can be read, and is whole."""
        runs = [
            subprocess.Popen(
                [sys.executable, "-m", "callsheet", "--root", str(self.tree.root), *command],
                env=environment(self.env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for command in commands
        ]
        try:
            while any(run.poll() is None for run in runs):
                self._check_whole()
                time.sleep(_PAUSE_S)
            told = [run.communicate()[1] for run in runs]
        finally:
            for run in runs:
                run.kill()
                run.wait()
        for command, run, errors in zip(commands, runs, told, strict=True):
            refused = "have vanished" in errors or "is still going on" in errors
            fine = (0,) if command[0] == "mark" else _FINE
            assert run.returncode in fine or refused, (command, errors)
            assert "Traceback" not in errors, errors

    def world(self) -> World:
        return read_world(self.tree.root, self.tree.where, self.tree.remote, [self.tree.where.bucket])

    def settled(self) -> dict[Image, str]:
        """A sync finds what the bytes say, and a second one nothing to write. Returns the statuses."""
        self.tree.library().sync()
        before = self.tree.manifests()
        assert self.tree.library().sync().manifests_updated == 0
        assert self.tree.manifests() == before
        world, rows = self.world(), read_rows(self.tree.root, self.tree.where)
        found = {image: row.status for image, row in rows.items()}
        there = {image: world.there.get(self.tree.where.location(*image)) for image in rows}
        assert found == {image: status_of(world.here.get(image), there[image]) for image in rows}
        assert set(world.here) <= set(rows)
        return found

    def _check_whole(self) -> None:
        for path in (self.tree.root / self.tree.where.manifests_dir).glob("*_manifest.json"):
            codec.decode(path.read_bytes(), path.name)


def verb(name: str, actors: Iterable[str] = ()) -> list[str]:
    """A command that asks nobody."""
    return [name, *actors, *(["--yes"] if name in _SURE else [])]


@dataclass
class Rounds:
    """What users do, and then many processes at once; again and again."""

    crowd: Crowd
    rng: random.Random
    marks: dict[Image, tuple[bool, str]] = field(default_factory=dict)
    played: int = 0

    def play(self) -> None:
        """`AssertionError` if anything was lost, torn, forgotten or told wrongly."""
        self.played += 1
        self._edit()
        if self.played == 1:
            self.crowd.tree.library().sync()
        before = self.crowd.world()
        self.crowd.at_once(*map(verb, _MOVING), *self._marking())
        assert before.contents <= self.crowd.world().contents, "something was lost"
        self.crowd.settled()
        rows = read_rows(self.crowd.tree.root, self.crowd.tree.where)
        assert {image: (rows[image].good, rows[image].prompt) for image in self.marks} == self.marks
        self.crowd.tree.library().empty_trash()

    def _edit(self) -> None:
        """Each image is new, or another, on one side or on both; or it is taken away from one of the two that it is on."""
        tree = self.crowd.tree
        for actor in _ACTORS:
            for name in _NAMES:
                content = picture(f"{actor} {name} {self.played}", 20_000)
                where = self.rng.choice(("here", "there", "both", "only here", "only there", "as it is"))
                if where in ("here", "both", "only here") or (where == "as it is" and self.played == 1):
                    tree.image(actor, name, content, mtime_s=1_760_000_000 + self.played)
                if where in ("there", "both", "only there"):
                    tree.object(actor, name, content)
                if where == "only here":
                    tree.remote.delete(tree.where.location(actor, name))
                if where == "only there":
                    (tree.folder(actor) / name).unlink(missing_ok=True)

    def _marking(self) -> list[list[str]]:
        images = self.rng.sample([(actor, name) for actor in _ACTORS for name in _NAMES], _MARKING)
        commands = []
        for actor, name in images:
            good, prompt = self.rng.random() < 0.5, f"{name} in round {self.played}"
            self.marks[actor, name] = good, prompt
            commands.append(["mark", actor, name, "--good" if good else "--not-good", "--prompt", prompt])
        return commands


def rounds(root: Path, server: Server, seed: int) -> Rounds:
    """A tree whose bucket is on that server: it is made, and must be new."""
    server.make_bucket(Layout().bucket)
    tree = Tree(root, S3Remote(Layout().region, endpoint_url=server.endpoint))
    return Rounds(Crowd(tree, server.env), random.Random(seed))
