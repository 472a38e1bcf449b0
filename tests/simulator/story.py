"""Histories: what users, runs and other machines do, in rounds in which all go on at once; made from a seed, told in a line a deed, and shrunk."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from callsheet.errors import CallsheetError, LossRefused
from callsheet.library import Library
from callsheet.model import Location
from callsheet.result import Proposal
from sim.trouble import Inline
from sim.world import Beliefs, Image
from simulator.client import Client
from simulator.cloud import KMS, MULTIPART, PLAIN, Cloud, Object
from simulator.engine import Breach, Engine, Machine, Process, Strike, installed
from simulator.judge import WHERE, Judge, Mark

ACTORS = ("0000_ann", "0001_bo")
NAMES = ("a.png", "b.png")
OTHER_BUCKET = "storyboard-user-files"
VERBS = ("push", "pull", "repair", "evict", "rm")
RUNS = (*VERBS, "sync", "undo", "undo_run", "restore", "mark", "apply", "plan", "empty")
_GRAINS_NS = (1, 1, 10_000_000, 1_000_000_000, 2_000_000_000)
_STRUCK = ("fail", "fail", "full", "down", "late", "twice", "kill", "kill", "cut", "cut")


@dataclass(frozen=True)
class Deed:
    """What one process does, on machine `on`. `number` decides what else there is to decide; `scope` is which images it is for."""

    what: str
    image: Image = (ACTORS[0], NAMES[0])
    content: str = ""
    number: int = 0
    scope: str = "all"
    on: str = "here"
    strike: Strike | None = None

    def __str__(self) -> str:
        words = [self.what]
        if self.what in VERBS:
            words.append({"all": "", "actor": self.image[0], "image": "/".join(self.image)}[self.scope])
        elif self.what not in ("sync", "undo", "empty"):
            words.append("/".join(self.image))
        if self.content:
            words.append(f"= {self.content}")
        if self.what in RUNS:
            words.append(f"#{self.number}")
        if self.on != "here":
            words.append(f"on {self.on}")
        if self.strike:
            words.append(f"({self.strike})")
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class History:
    """`rounds` follow one another; the deeds of one go on at once. `seed` decides who has his turn when, and what survives of a power cut.

    Disks tell times in steps of `grain_ns`: changes in one step have one time.
    """

    seed: int
    rounds: tuple[tuple[Deed, ...], ...]
    versioned: bool = False
    page: int = 1000
    kind: str = PLAIN
    grain_ns: int = 1

    def __str__(self) -> str:
        store = f"a store {'with' if self.versioned else 'without'} versions, pages of {self.page}, {self.kind} ETags"
        lines = [f"seed {self.seed}; {store}; times to {self.grain_ns / 1e9:g} s"]
        for number, deeds in enumerate(self.rounds, 1):
            lines += [f"{number:3}. {deeds[0]}", *(f"     while {deed}" for deed in deeds[1:])]
        return "\n".join(lines)


def history(seed: int) -> History:
    """One base tree, perturbed on both sides; then a few rounds, in which a random part of all faults may come."""
    rng = random.Random(seed)
    rounds: list[tuple[Deed, ...]] = []
    fresh = _numbers()
    for actor in ACTORS[: rng.choice((1, 1, 2))]:
        for name in NAMES[: rng.choice((1, 2))]:
            rounds += [(deed,) for deed in _image(rng, (actor, name), fresh)]
        if rng.random() < 0.3:
            rounds.append((Deed("response", (actor, rng.choice(NAMES)), number=rng.randrange(8)),))
    if rng.random() < 0.4:
        rounds.append((Deed("sync"),))
        if rng.random() < 0.3:
            rounds.append((Deed("note", (rng.choice(ACTORS), NAMES[0]), number=rng.randrange(60)),))
    faults = rng.sample(_STRUCK, rng.randint(0, 5))
    second = rng.random() < 0.2
    for _ in range(rng.randint(1, 3)):
        deeds = [_run(rng, faults, fresh)]
        if deeds[0].what in _PREPARED and rng.random() < 0.5:
            made = rng.choice(_PREPARED[deeds[0].what])
            rounds += [
                (Deed(what, deeds[0].image, fresh() if what in _WITH_CONTENT else "", deeds[0].number),)
                for what in made
            ]
        if deeds[0].what == "mark" and rng.random() < 0.6:
            deeds.append(Deed("sync", number=1))
        while rng.random() < 0.45 and len(deeds) < 3:
            another = _edit(rng, fresh) if rng.random() < 0.7 else _run(rng, faults, fresh)
            if rng.random() < 0.5:
                another = replace(another, image=deeds[0].image)
            deeds.append(replace(another, on="away") if second and rng.random() < 0.4 else another)
        rounds.append(tuple(deeds))
    return History(
        seed,
        tuple(rounds),
        rng.random() < 0.2,
        rng.choice((1, 2, 1000)),
        rng.choice((PLAIN, PLAIN, PLAIN, MULTIPART, KMS)),
        rng.choice(_GRAINS_NS),
    )


_WITH_CONTENT = ("save", "save_slowly", "upload", "upload_other", "upload_lying", "elsewhere")
_PREPARED: dict[str, tuple[tuple[str, ...], ...]] = {
    "push": (("vanish", "save"),),
    "pull": (("drop", "upload"), ("drop", "upload_other"), ("drop", "elsewhere")),
    "repair": (("save", "upload"), ("save", "upload_other"), ("save", "push", "save"), ("save", "push", "upload")),
    "evict": (("vanish", "save", "push"), ("save", "upload_lying")),
    "rm": (("save", "upload"), ("vanish", "save", "push")),
    "undo": (("vanish", "save", "push"), ("save", "rm"), ("vanish", "save", "push", "evict"), ("save", "sync", "mark")),
    "undo_run": (("save", "rm", "undo"), ("vanish", "save", "push", "undo")),
    "restore": (("save", "rm"), ("upload", "rm"), ("save", "upload", "repair")),
    "mark": (("save", "sync"), ("save", "sync", "save")),
    "apply": (("save", "plan"), ("upload", "plan")),
}
"""What gives a run something to do, all of it to one image."""


def _numbers() -> Callable[[], str]:
    count = iter(range(1, 1000))
    return lambda: f"picture {next(count)}"


def _image(rng: random.Random, image: Image, fresh: Callable[[], str]) -> list[Deed]:
    content = fresh()
    here, there = Deed("save", image, content), Deed("upload", image, content)
    kinds: dict[str, list[Deed]] = {
        "both": [here, there],
        "local": [here],
        "s3": [there],
        "differ": [here, Deed("upload", image, fresh())],
        "other uploader": [here, Deed("upload_other", image, content, rng.randrange(2))],
        "changed": [here, there, Deed("sync"), Deed("save", image, fresh())],
        "elsewhere": [here, Deed("elsewhere", image, content)],
    }
    return kinds[rng.choices(list(kinds), (4, 3, 3, 2, 1, 2, 1))[0]]


def _run(rng: random.Random, faults: Sequence[str], fresh: Callable[[], str]) -> Deed:
    what = rng.choices(RUNS, (6, 6, 6, 5, 4, 5, 4, 1, 2, 3, 2, 2, 1))[0]
    strike = None
    if faults and rng.random() < 0.75:
        kind, writes = rng.choice(faults), rng.random() < 0.7
        often = 2 if kind in ("late", "twice") else 10 if kind == "full" else 22 if writes else 60
        strike = Strike(kind, 1 + int(rng.expovariate(1 / often)), rng.random() < 0.5, writes)
    image = rng.choice(ACTORS), rng.choice(NAMES)
    return Deed(
        what, image, number=rng.randrange(60), scope=rng.choice(("all", "all", "actor", "image")), strike=strike
    )


def _edit(rng: random.Random, fresh: Callable[[], str]) -> Deed:
    what = rng.choice(
        (
            "save",
            "save",
            "save_slowly",
            "upload",
            "upload",
            "upload_other",
            "drop",
            "vanish",
            "rename",
            "response",
            "wait",
        )
    )
    content = fresh() if what in _WITH_CONTENT else ""
    return Deed(what, (rng.choice(ACTORS), rng.choice(NAMES)), content, rng.randrange(60))


def broken(told: History) -> Breach | None:
    """The promise that a history breaks, if it breaks one."""
    try:
        Play(told).play()
    except Breach as breach:
        return breach
    return None


def shrunk(told: History, seeds: int = 12) -> History:
    """The least part of a history that still breaks a promise, if not with its own seed then with one of the next."""
    smaller: History | None = told
    while smaller is not None:
        told, smaller = smaller, None
        for fewer in _parts(told):
            failing = (replace(fewer, seed=told.seed + n) for n in range(seeds))
            if (smaller := next((one for one in failing if broken(one)), None)) is not None:
                break
    return told


def _parts(told: History) -> Iterator[History]:
    """Without a round, without a deed, without a strike, or simpler in some other way."""
    for number, deeds in enumerate(told.rounds):
        before, after = told.rounds[:number], told.rounds[number + 1 :]
        yield replace(told, rounds=before + after)
        for place, deed in enumerate(deeds):
            others = deeds[:place] + deeds[place + 1 :]
            if others:
                yield replace(told, rounds=(*before, others, *after))
            for plain in (replace(deed, strike=None), replace(deed, scope="all"), replace(deed, on="here")):
                if plain != deed:
                    yield replace(told, rounds=(*before, (*deeds[:place], plain, *deeds[place + 1 :]), *after))
    for simpler in (
        replace(told, versioned=False),
        replace(told, page=1000),
        replace(told, kind=PLAIN),
        replace(told, grain_ns=1),
    ):
        if simpler != told:
            yield simpler


class Play:
    """A history while it is played."""

    def __init__(self, told: History, *, trace: bool = False) -> None:
        self.told = told
        self.cloud = Cloud({WHERE.bucket: {}, OTHER_BUCKET: {}}, told.versioned, told.page, told.kind)
        self.engine = Engine(told.seed, self.cloud, grain_ns=told.grain_ns, trace=trace)
        self.client = Client(self.engine, self.cloud)
        names = {"here", *(deed.on for deeds in told.rounds for deed in deeds)}
        self.machines = {name: Machine(name) for name in sorted(names, reverse=True)}
        self.judge = Judge(self.engine, self.cloud, list(self.machines.values()))
        self.engine.watch = self.judge
        self.plans: dict[str, list[Proposal]] = {name: [] for name in names}
        self.executor = Inline()
        for machine in self.machines.values():
            for actor in ACTORS:
                machine.disk.makedirs(f"{machine.root}/{WHERE.training_dir(actor)}")
            machine.disk.settle()

    @property
    def trace(self) -> str:
        return "\n".join(self.engine.trace or ())

    def play(self) -> None:
        """`Breach` if a promise is broken; whatever else should not be raised."""
        with installed(self.engine) as machine:
            self.machine = machine
            for number, deeds in enumerate(self.told.rounds, 1):
                for deed in deeds:
                    self.engine.say(f"{number}. {deed}")
                self._round([self._process(deed) for deed in deeds])
            self.quiet()

    def play_struck(self, number: int, strike: Strike | None) -> int:
        """Play, with that strike in the first deed of a round. Returns how many calls it could have come at."""
        calls = 0
        with installed(self.engine) as machine:
            self.machine = machine
            for place, (deed,) in enumerate(self.told.rounds):
                process = self._process(replace(deed, strike=strike) if place == number else deed)
                self._round([process])
                calls = process.calls if place == number else calls
            self.quiet()
        return calls

    def quiet(self) -> None:
        """Nothing goes wrong any more: after a sync all is true, and another one writes nothing."""
        self.engine.pass_time(10)
        for name in self.machines:
            self._round([self._process(Deed("sync", number=1, on=name))], calm=True)
        self.judge.check_end()
        self.engine.pass_time(10)
        before = {name: self.judge.manifests(machine) for name, machine in self.machines.items()}
        for name in self.machines:
            self._round([self._process(Deed("sync", number=1, on=name))], calm=True)
        after = {name: self.judge.manifests(machine) for name, machine in self.machines.items()}
        if before != after:
            raise Breach("promise 5: a second sync wrote something")

    def _round(self, processes: list[Process], *, calm: bool = False) -> None:
        self.engine.run(*processes)
        for process in processes:
            error = process.error
            expected = isinstance(error, CallsheetError) and (not calm or isinstance(error, LossRefused))
            if error is not None and not (expected or process.user):
                raise error
            if error is not None:
                self.engine.say(f"{process.name}: {type(error).__name__}: {error}")
        self.engine.pass_time(self.engine.rng.choice((0.1, 1, 3, 30)))

    def _process(self, deed: Deed) -> Process:
        machine = self.machines[deed.on]
        user = deed.what not in RUNS
        job = getattr(self, f"_{'verb' if deed.what in VERBS else deed.what}")
        process = Process(f"{deed.what}@{machine.name}", machine, lambda: job(deed, machine), deed.strike, user)
        if deed.what == "empty":
            process.user = True  # who empties the trash gives up what is in it
        return process

    def library(self, machine: Machine) -> Library:
        return Library(machine.root, WHERE, self.client, workers=1, transfers=1)

    # What is asked of callsheet.

    def _sync(self, deed: Deed, machine: Machine) -> None:
        number = deed.number
        self.library(machine).sync(
            verify=number % 7 == 3, accept_loss=number % 2 == 1, offline=number % 11 == 5, executor=self.executor
        )

    def _proposal(self, deed: Deed, machine: Machine, verb: str, *, record_later: bool = False) -> Proposal:
        wanted = (deed.image[0],) if deed.scope != "all" or verb == "rm" else ()
        only = (deed.image[1],) if deed.scope == "image" else ()
        prefer = ("", "local", "s3")[deed.number % 3] if verb == "repair" else ""
        return self.library(machine).plan(
            verb, wanted, only=only, prefer=prefer, record_later=record_later, executor=self.executor
        )

    def _verb(self, deed: Deed, machine: Machine) -> None:
        proposal = self._proposal(deed, machine, deed.what, record_later=deed.number % 2 == 1)
        self.library(machine).apply(proposal, executor=self.executor)

    def _plan(self, deed: Deed, machine: Machine) -> None:
        self.plans[machine.name].append(self._proposal(deed, machine, VERBS[deed.number % len(VERBS)]))

    def _apply(self, deed: Deed, machine: Machine) -> None:
        if plans := self.plans[machine.name]:
            self.library(machine).apply(plans[deed.number % len(plans)].plan, executor=self.executor)

    def _undo(self, deed: Deed, machine: Machine) -> None:
        self._taken_back(machine, "")

    def _undo_run(self, deed: Deed, machine: Machine) -> None:
        if runs := self.library(machine).runs():
            self._taken_back(machine, runs[deed.number % len(runs)])

    def _taken_back(self, machine: Machine, run: str) -> None:
        library = self.library(machine)
        proposal = library.plan_undo(run, executor=self.executor)
        with ExitStack() as until_done:
            for mark in proposal.plan.marks:
                image = mark.actor, mark.filename
                until_done.enter_context(self._marking(machine, image, mark.after.good, mark.after.prompt))
            library.apply(proposal, executor=self.executor)

    def _restore(self, deed: Deed, machine: Machine) -> None:
        library = self.library(machine)
        if runs := library.runs():
            library.apply(
                library.plan_restore(runs[deed.number % len(runs)], executor=self.executor), executor=self.executor
            )

    def _mark(self, deed: Deed, machine: Machine) -> None:
        good, prompt = bool(deed.number % 2), f"prompt {deed.number}"
        with self._marking(machine, deed.image, good, prompt) as asked:
            self.library(machine).mark(*deed.image, good=good, prompt=prompt)
            asked.done = True

    @contextmanager
    def _marking(self, machine: Machine, image: Image, good: bool | None, prompt: str | None) -> Iterator[Mark]:
        asked = Mark(good, prompt, self.engine.serial, self.engine.serial)
        self.judge.marks.setdefault((machine.name, image), []).append(asked)
        try:
            yield asked
        finally:
            asked.ended = self.engine.serial

    def _empty(self, deed: Deed, machine: Machine) -> None:
        self.library(machine).empty_trash()

    # What users and other programs do. They flush what they save.

    def _path(self, deed: Deed, machine: Machine) -> str:
        return f"{machine.root}/{WHERE.image(*deed.image)}"

    def _bytes(self, deed: Deed) -> bytes:
        return b"\x89PNG " + deed.content.encode() + b"." * (deed.number % 40)

    def _has_put(self, content: bytes, deed: Deed) -> None:
        """From here on it must not be lost; unless its place was given to something else meanwhile."""
        self.judge.contents[content] = deed.content
        if content not in set(self.judge.everywhere()):
            self.judge.given_up.add(content)

    def _save(self, deed: Deed, machine: Machine) -> None:
        """As most programs do: a new file that takes the old one's place."""
        path, content, disk = self._path(deed, machine), self._bytes(deed), machine.disk
        folder = path.rpartition("/")[0]
        beside = f"{folder}/.saving-{deed.number}"
        with self.machine.open_file(beside, "xb") as file:
            file.write(content)
            self.machine.fsync(file.fileno())
        self.machine.replace(beside, path)
        disk.fsync(disk.folder(folder))
        self._has_put(content, deed)

    def _save_slowly(self, deed: Deed, machine: Machine) -> None:
        """As a copy does: into the file itself, piece by piece."""
        path, disk = self._path(deed, machine), machine.disk
        content = self._bytes(deed)
        descriptor = self.machine.open(path, os.O_WRONLY | os.O_CREAT)
        inode = disk.at(descriptor).inode
        self.judge.touched(self.engine.current, (machine.name, path))
        for start in (0, 8):
            self.engine.call("write", path)
            before = bytes(inode.data)
            inode.data[start:], inode.synced = content[start : start + 8] if not start else content[start:], b""
            inode.mtime_ns = inode.ctime_ns = self.engine.disk_ns
            self.judge.lost_file(self.engine.current, path, before)
        self.machine.fsync(descriptor)
        disk.fsync(disk.folder(path.rpartition("/")[0]))
        self._has_put(content, deed)
        self.judge.touched(self.engine.current, (machine.name, path))
        disk.close(descriptor)

    def _drop(self, deed: Deed, machine: Machine) -> None:
        path = self._path(deed, machine)
        if machine.disk.get(path) is not None:
            self.machine.unlink(path)
            machine.disk.fsync(machine.disk.folder(path.rpartition("/")[0]))

    def _rename(self, deed: Deed, machine: Machine) -> None:
        path = self._path(deed, machine)
        target = self._path(replace(deed, image=(deed.image[0], NAMES[deed.number % 2])), machine)
        if machine.disk.get(path) is not None and machine.disk.get(target) is None:
            self.machine.rename(path, target)
            machine.disk.fsync(machine.disk.folder(path.rpartition("/")[0]))

    def _upload(
        self, deed: Deed, machine: Machine, at: Location | None = None, kind: str = "", claimed: str | None = None
    ) -> None:
        place, content = at or WHERE.location(*deed.image), self._bytes(deed)
        self.cloud.moment_ns = self.engine.now_ns
        self.engine.call("user uploads", str(place), side="user")
        there = self.cloud.buckets[place.bucket].get(place.key)
        self.cloud.buckets[place.bucket][place.key] = Object(
            content, self.cloud.described(place, content, claimed, kind or self.told.kind)
        )
        self._has_put(content, deed)
        if there is not None:
            self._gone(place, there.body)
        self.judge.touched(self.engine.current, place)

    def _upload_other(self, deed: Deed, machine: Machine) -> None:
        self._upload(deed, machine, kind=(MULTIPART, KMS)[deed.number % 2])

    def _upload_lying(self, deed: Deed, machine: Machine) -> None:
        """Its metadata have the MD5 of the file that is here, as of an object that was overwritten by a tool that kept them."""
        file, place = machine.disk.get(self._path(deed, machine)), WHERE.location(*deed.image)
        believed = self.judge.beliefs.setdefault(machine.name, Beliefs())
        if file is None or place in believed.lies:  # which may be in the trash, and come back
            return
        claimed, content = bytes(file.data), self._bytes(deed)
        for name in self.machines:
            self.judge.beliefs.setdefault(name, Beliefs()).lies[place] = content, claimed
        md5 = hashlib.md5(claimed, usedforsecurity=False).hexdigest()
        self._upload(deed, machine, kind=(MULTIPART, KMS)[deed.number % 2], claimed=md5)

    def _vanish(self, deed: Deed, machine: Machine) -> None:
        place = WHERE.location(*deed.image)
        self.engine.call("user deletes", str(place), side="user")
        there = self.cloud.buckets[place.bucket].pop(place.key, None)
        if there is not None:
            self._gone(place, there.body)
        self.judge.touched(self.engine.current, place)

    def _elsewhere(self, deed: Deed, machine: Machine) -> None:
        place = Location(OTHER_BUCKET, f"made/{deed.image[0]}/{deed.image[1]}")
        self._upload(deed, machine, place)
        self._tell(deed.image[0], machine, [self.client.url(place)])

    def _response(self, deed: Deed, machine: Machine) -> None:
        """A legacy file with URLs: of images that are there, and of one that is nowhere."""
        actor = deed.image[0]
        names = [name for number, name in enumerate((*NAMES, "gone.png")) if deed.number >> number & 1]
        self._tell(actor, machine, [self.client.url(WHERE.location(actor, name)) for name in names])

    def _tell(self, actor: str, machine: Machine, urls: list[str]) -> None:
        path = f"{machine.root}/{WHERE.training_dir(actor)}/response.json"
        if machine.disk.get(path) is not None:
            return
        beside = f"{path}.saving"
        with self.machine.open_file(beside, "xb") as file:
            file.write(json.dumps({"output": {"output": {"s3_image_urls": urls}}}).encode())
            self.machine.fsync(file.fileno())
        if machine.disk.get(path) is None:
            self.machine.replace(beside, path)
            machine.disk.fsync(machine.disk.folder(path.rpartition("/")[0]))
            self.judge.urls.setdefault((machine.name, actor), set()).update(urls)

    def _note(self, deed: Deed, machine: Machine) -> None:
        """Another program writes something of its own into a manifest."""
        stem = deed.image[0].partition("_")[0]
        path = f"{machine.root}/{WHERE.manifest(stem)}"
        document = json.loads(bytes(machine.disk.find(path).data))
        document = {"lora_model": {"steps": deed.number}} | document
        with self.machine.open_file(f"{path}.saving", "xb") as file:
            file.write(json.dumps(document).encode())
            self.machine.fsync(file.fileno())
        self.machine.replace(f"{path}.saving", path)
        machine.disk.fsync(machine.disk.folder(path.rpartition("/")[0]))
        self.judge.foreign[machine.name, stem] = document["lora_model"]

    def _wait(self, deed: Deed, machine: Machine) -> None:
        self.machine.sleep((0.01, 0.5, 3)[deed.number % 3])

    def _gone(self, place: Location, body: bytes) -> None:
        if self.told.versioned:
            self.cloud.noncurrent.append(body)
        else:
            self.judge.lost_object(self.engine.current, str(place), body)
