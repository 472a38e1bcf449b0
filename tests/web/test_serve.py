"""`callsheet serve` as users run it: it tells where it is, and ends when it is told to, whoever listens."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from command import environment, run
from servers import SECRET_KEY
from stage import ANNA, Stage, empty_stage, picture

TOKEN = "canary-token-0123456789"
CALM_S = 20.0


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = empty_stage(tmp_path)
    stage.tree.both(ANNA, "a.png", picture(1))
    stage.tree.library().sync()
    return stage


class Served:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdout
        self.line = process.stdout.readline().decode()
        match = re.search(r"http://\S+", self.line)
        assert match, (self.line, process.communicate(timeout=CALM_S))
        self.url = match[0]
        self.base = self.url[: self.url.index("/", 8)]

    def ended(self, *signals: int) -> tuple[int, str, float]:
        """Exit code, all that it said on stderr, and the seconds that it took."""
        started = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=CALM_S)
        assert out == b""
        assert b"Traceback" not in err, err.decode()
        return self.process.returncode, err.decode(), time.monotonic() - started


@contextmanager
def served(stage: Stage, *options: str, env: Mapping[str, str] = {}) -> Iterator[Served]:
    command = [sys.executable, "-m", "callsheet", "--root", str(stage.root), "serve", *options]
    with subprocess.Popen(
        command,
        env=environment({**stage.env, **env}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_although_somebody_listens(stage: Stage, number: int) -> None:
    with served(stage, "--port", "0") as server, urllib3.PoolManager(timeout=CALM_S) as http:
        listeners = [http.request("GET", f"{server.base}/api/events", preload_content=False) for _ in range(3)]
        assert all(listener.read(12) == b"event: hello" for listener in listeners)
        idle = http.request("GET", f"{server.base}/api/actors")  # its connection is kept
        assert idle.status == 200
        code, err, seconds = server.ended(number)
        assert (code, err) == (0, "")
        assert seconds < 2.5
        for listener in listeners:
            listener.read()  # to its end: it was not torn


def test_a_reader_who_does_not_read_does_not_keep_it_for_long(stage: Stage) -> None:
    (stage.root / stage.tree.where.image(ANNA, "big.bmp")).write_bytes(os.urandom(32 << 20))
    with served(stage, "--port", "0") as server, urllib3.PoolManager(timeout=CALM_S) as http:
        stuck = http.request("GET", f"{server.base}/data/actors/{ANNA}/training_data/big.bmp", preload_content=False)
        assert stuck.read(10)
        code, _, seconds = server.ended(signal.SIGINT)
        assert code == 0
        assert seconds < 8


def test_a_second_ctrl_c_stops_it_by_force(stage: Stage) -> None:
    (stage.root / stage.tree.where.image(ANNA, "big.bmp")).write_bytes(os.urandom(32 << 20))
    with served(stage, "--port", "0") as server, urllib3.PoolManager(timeout=CALM_S) as http:
        stuck = http.request("GET", f"{server.base}/data/actors/{ANNA}/training_data/big.bmp", preload_content=False)
        assert stuck.read(10)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        code, err, seconds = server.ended(signal.SIGINT)
        assert code == 130
        assert "interrupted" in err
        assert seconds < 2


def test_it_logs_nothing_unless_told_and_then_no_secret(stage: Stage) -> None:
    env = {"CALLSHEET_TOKEN": TOKEN, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    for options, lines in (((), 0), (("--access-log",), 3)):
        with served(stage, "--port", "0", *options, env=env) as server, urllib3.PoolManager(timeout=CALM_S) as http:
            assert server.url == f"{server.base}/login?token={TOKEN}"
            answer = http.request("GET", server.url, redirect=False)
            cookie = answer.headers["Set-Cookie"].partition(";")[0]
            for path in ("/api/actors?token=" + TOKEN, f"/api/actors/{ANNA}/training-data/a.png/content"):
                assert http.request("GET", server.base + path, headers={"Cookie": cookie}).status == 200
            code, err, _ = server.ended(signal.SIGINT)
        assert code == 0
        assert len(err.splitlines()) == lines
        for secret in (TOKEN, cookie.partition("=")[2], SECRET_KEY):
            assert secret not in err


def test_it_opens_the_page_if_asked(stage: Stage, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(
        f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened.new && mv {tmp_path}/opened.new {tmp_path}/opened\n'
    )
    browser.chmod(0o755)
    with served(stage, "--port", "0", "--open", env={"BROWSER": str(browser)}) as server:
        deadline = time.monotonic() + CALM_S
        while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "opened").read_text() == server.url
        assert server.ended(signal.SIGINT)[0] == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--port", "70000"), "--port"),
        (("--poll", "0"), "--poll"),
        (("--host", "no-such-host.invalid", "--port", "0"), "Cannot listen at no-such-host.invalid:0"),
        (("--host", "192.0.2.1", "--port", "0"), "Cannot listen at 192.0.2.1:0"),
        (("--token", "canary-short"), "16"),
    ],
)
def test_what_it_cannot_do_is_told(stage: Stage, options: tuple[str, ...], told: str) -> None:
    ran = run(stage.root, "serve", *options, env=stage.env)
    assert ran.code == 2
    assert told in ran.err
    assert "canary" not in ran.err


def test_a_second_server_on_one_tree_is_told(stage: Stage) -> None:
    with served(stage, "--port", "0") as server:
        ran = run(stage.root, "serve", "--port", "0", env=stage.env)
        assert ran.code == 3
        assert "Another server works on this tree" in ran.err
        assert server.ended(signal.SIGINT)[0] == 0


def test_the_demo_can_be_served_at_once(tmp_path: Path) -> None:
    """Up to the point where it would go on until Ctrl-C: with a token that is refused."""
    ran = run(tmp_path, "demo", "--big", "1", str(tmp_path / "demo"), "--serve", env={"CALLSHEET_TOKEN": "weak"})
    assert re.search(r"callsheet --root \S+ serve", ran.out)
    assert (tmp_path / "demo" / "data").is_dir()
    assert ran.code == 2
    assert "The token must be" in ran.err
