"""What the benchmarks run on: a tree of images, made once, and the same images in a bucket."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson
import urllib3
from benchmarks.framework import say

from callsheet.layout import Layout
from servers import Server, tool
from sink import RESET

WHERE = Layout()
_FORGOTTEN = "forgotten"
MADE_AT_S = 1_760_000_000  # long before any run: a fresh mtime would make callsheet hash the file again


@dataclass(frozen=True)
class Size:
    """How large a tree is; `linked`: whether rclone is to read it, too."""

    actors: int
    images: int
    image_bytes: int
    linked: bool = True


LARGE = Size(289, 2_451, 320 << 10)
HUGE = Size(3_000, 25_000, 320 << 10)
MANY = Size(3_000, 100_000, 8 << 10)


@dataclass(frozen=True)
class Ground:
    """One tree. `md5s` are those of the bytes as they were made, by `actor/filename`."""

    folder: str
    actors: int
    image_bytes: int
    md5s: Mapping[str, str]

    def __str__(self) -> str:
        each = f"{self.image_bytes >> 10} KB" if self.image_bytes >= 1 << 10 else f"{self.image_bytes} bytes"
        return f"{self.images:,} images of {each}, {self.actors:,} actors"

    @property
    def images(self) -> int:
        return len(self.md5s)

    @property
    def root(self) -> str:
        """callsheet's tree: images in `data/actors/{actor}/training_data/`."""
        return os.path.join(self.folder, "tree")

    @property
    def flat(self) -> str:
        """The same files once more, as hard links, in `{actor}/` as in the bucket: rclone compares equal paths."""
        return os.path.join(self.folder, "flat")

    @property
    def pulled(self) -> str:
        """Where downloads go."""
        return os.path.join(self.folder, "pulled")

    @property
    def held(self) -> str:
        """A file that tells the server of these images: size and ETag of each, by its path there."""
        path = os.path.join(self.folder, "held.json")
        if not os.path.exists(path):
            start = f"/{WHERE.bucket}/{WHERE.key_prefix()}"
            rows = {f"{start}{name}": (self.image_bytes, md5) for name, md5 in self.md5s.items()}
            with open(f"{path}.new", "wb") as file:
                file.write(orjson.dumps(rows))
            os.replace(f"{path}.new", path)
        return path

    def forget(self) -> None:
        """Make the next sync a first one. What it takes away is only moved: file systems are slow to give out again the
        inodes of files that were deleted a moment ago, and no first sync of anybody's starts with that."""
        aside = self._aside()
        for path in (WHERE.manifests_dir, WHERE.state_dir):
            _move(os.path.join(self.root, path), os.path.join(aside, path))

    def make_way(self) -> None:
        """Put an empty tree where downloads go. The files of the last one are emptied, and keep their inodes, see `forget`.

        All that is still to be written to disk is: the next command must not pay for the one before.
        """
        aside = self._aside()
        _move(self.pulled, aside)
        for folder, _, names in os.walk(aside):
            for name in names:
                path = os.path.join(folder, name)
                if os.lstat(path).st_nlink == 1:  # what has another name, too, is not ours to empty
                    os.truncate(path, 0)
        os.makedirs(os.path.join(self.pulled, WHERE.actors_dir))
        os.sync()

    def tidy(self) -> None:
        """Delete what was pulled or moved aside."""
        for folder in (self.pulled, os.path.join(self.folder, _FORGOTTEN)):
            shutil.rmtree(folder, ignore_errors=True)

    def _aside(self) -> str:
        return os.path.join(self.folder, _FORGOTTEN, secrets.token_hex(8))


def _move(path: str, target: str) -> None:
    """What is there is moved; nothing may be."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, target)


def make(bench_dir: str, size: Size) -> Ground:
    """The tree of that size, from the last time if it was made whole."""
    actors, images, image_bytes, linked = size.actors, size.images, size.image_bytes, size.linked
    folder = os.path.join(bench_dir, f"{actors}x{images}x{image_bytes}")
    sums = os.path.join(folder, "md5s.json")
    if os.path.exists(sums):
        with open(sums, "rb") as file:
            return Ground(folder, actors, image_bytes, orjson.loads(file.read()))
    say(f"Making {images:,} images of {image_bytes:,} bytes in {folder} …")
    shutil.rmtree(folder, ignore_errors=True)
    ground = Ground(folder, actors, image_bytes, {})
    source = random.Random(images)
    md5s = {}
    for number in range(actors):
        actor = f"{number:05}_bench"
        training, flat = os.path.join(ground.root, WHERE.training_dir(actor)), os.path.join(ground.flat, actor)
        for needed in (training, flat) if linked else (training,):
            os.makedirs(needed)
        for image in range(images // actors + (number < images % actors)):
            filename = f"{actor}_{image}.jpg"
            data = source.randbytes(image_bytes)
            path = os.path.join(training, filename)
            with open(path, "xb", buffering=0) as file:
                file.write(data)
            os.utime(path, (MADE_AT_S, MADE_AT_S))
            if linked:
                os.link(path, os.path.join(flat, filename))
            md5s[f"{actor}/{filename}"] = hashlib.md5(data).hexdigest()
    with open(f"{sums}.new", "wb") as file:
        file.write(orjson.dumps(md5s))
    os.replace(f"{sums}.new", sums)
    return Ground(folder, actors, image_bytes, md5s)


def environment(server: Server, home: str) -> dict[str, str]:
    """All that a measured process sees of the environment. rclone's remote is `bench:`; no configuration file is read."""
    return server.env | {
        "PATH": os.defpath,
        "HOME": home,
        "LANG": "C.UTF-8",
        "S3_ENDPOINT_URL": server.endpoint,  # where s5cmd looks
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENDPOINT": server.endpoint,
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "RCLONE_CONFIG_BENCH_REGION": server.env["AWS_DEFAULT_REGION"],
    }


def fill(ground: Ground, server: Server, env: Mapping[str, str]) -> None:
    """Put all images into the server's bucket, and nothing else."""
    clear(server)
    say(f"Uploading {ground.images:,} images …")
    command = [tool("rclone"), "copy", ground.flat, place(), "--transfers", "8", "--s3-no-check-bucket"]
    done = subprocess.run(command, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The images could not be uploaded:\n{done.stderr}")


def clear(server: Server) -> None:
    """Make the server forget everything, so that its memory stays bounded, and the same for everybody."""
    with urllib3.PoolManager() as http:
        answer = http.request("POST", f"{server.endpoint}{RESET}")
    if answer.status != 204:
        raise RuntimeError(f"the server could not be emptied: {answer.status} {answer.data!r}")


@contextlib.contextmanager
def store(holding: Ground | None = None, *, latency_s: float = 0) -> Iterator[Server]:
    """The benchmarks' S3 server, which holds from the start what is to be seen of all images of a tree: keys, sizes and ETags."""
    command = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "store.py"), str(latency_s)]
    if holding is not None:
        command.append(holding.held)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        endpoint = process.stdout.readline().strip() if process.stdout else ""
        if not endpoint:
            raise RuntimeError("the S3 server did not start")
        yield Server(endpoint)
    finally:
        process.terminate()
        process.communicate()


def place(scheme: str = "bench:") -> str:
    """The folder that the actors' folders are in, by rclone's name, or with `s3://` by everybody else's."""
    return f"{scheme}{WHERE.bucket}/{WHERE.prefix}"
