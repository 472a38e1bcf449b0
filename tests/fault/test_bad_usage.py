"""Settings, options and arguments that make no sense: exit code 2, what to do instead, and nothing touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from callsheet import open_library
from callsheet.errors import ConfigError, UnknownActor
from command import Ran, run, run_here
from factory import Tree

OSC = "\x1b]0;owned\x07"


@pytest.fixture
def crowd(tree: Tree) -> Tree:
    """Two actors of their own, and two that answer to one number."""
    for actor in ("0001_anna", "0002_bert", "0007_cora", "0007_dora"):
        tree.image(actor, "a.png")
    tree.library().adopt("0007_cora")
    tree.library().adopt("0007_dora", own=True)
    return tree


def agreed(tree: Tree, ran: Ran, as_json: Ran) -> str:
    """Message and hint of a command line that was refused, as text and as one JSON document."""
    assert ran.code == 2, ran
    assert ran.out == ""
    message, _, hint = ran.err.partition("\n")
    assert message.startswith("callsheet: ")
    assert hint.startswith("  ")
    assert hint.count("\n") == 1, hint
    assert as_json.code == 2
    document = as_json.document
    assert document.keys() == {"error", "message", "hint"}
    assert all(isinstance(text, str) and text for text in document.values()), document
    assert "callsheet: " + document["message"] == message
    assert document["hint"] == hint.strip()
    return ran.err


Refused = Callable[..., str]


@pytest.fixture
def refused(tree: Tree, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command line that must be refused, with text and with `--json`, and touch nothing; returns what it says."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "CALLSHEET_")):
            monkeypatch.delenv(name)

    def command(*arguments: str, env: Mapping[str, str] = {}) -> str:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        before = sorted(tree.root.rglob("*"))
        ran = run_here(tree.root, *arguments, capsys=capsys)
        as_json = run_here(tree.root, *arguments, "--json", capsys=capsys)
        assert sorted(tree.root.rglob("*")) == before
        return agreed(tree, ran, as_json)

    return command


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (("sync", "--offline"), {"CALLSHEET_WORKERS": "many"}),
        (("sync", "--remote", "bogus"), {}),
        (("status",), {"CALLSHEET_BUCKET": f"a{OSC}"}),
        (("status", b"\xff"), {}),
        (("sync", "--offline", OSC), {}),
    ],
)
def test_a_process_of_its_own_ends_with_2_and_says_what_to_do(
    tree: Tree, arguments: tuple[str | bytes, ...], env: dict[str, str]
) -> None:
    tree.image("0001_anna", "a.png")
    before = sorted(tree.root.rglob("*"))
    agreed(tree, run(tree.root, *arguments, env=env), run(tree.root, *arguments, "--json", env=env))
    assert sorted(tree.root.rglob("*")) == before


TOML: dict[str, tuple[bytes, str]] = {
    "no TOML": (b"bucket my-bucket", "Mend that line"),
    "half a string": (b'bucket = "my-bucket', "Mend that line"),
    "a key twice": (b'bucket = "a-bucket"\nbucket = "b-bucket"', "Mend that line"),
    "JSON": (b'{"bucket": "my-bucket"}', "Mend that line"),
    "byte order mark": (b"\xef\xbb\xbfbucket = 1", "Mend that line"),
    "Latin-1": (b'bucket = "caf\xe9"', "Mend that line"),
    "a control character": (b'bucket = "a\x07"', "Mend that line"),
    "deep": (b"workers = " + b"[" * 5000 + b"]" * 5000, "Mend that line"),
    "a huge number": (b"workers = 1" + b"0" * 5000, "Mend that line"),
    "an unknown key": (b'bukcet = "my-bucket"', "Did you mean bucket?"),
    "a key of nothing we know": (b"zzz = 1", "Known settings: "),
    "a table": (b'[s3]\nbucket = "my-bucket"', "Known settings: "),
    "a key with an escape": (b'"\\u001b]0;owned\\u0007" = 1', "Known settings: "),
    "bucket is a number": (b"bucket = 7", "It must be a string"),
    "bucket is a list": (b'bucket = ["my-bucket"]', "It must be a string"),
    "bucket is no bucket": (b'bucket = "my bucket"', "s3://my-bucket/prefix"),
    "bucket is empty": (b'bucket = ""', "s3://my-bucket/prefix"),
    "bucket has an escape": (b'bucket = "a\\u001b]0;owned\\u0007"', "s3://my-bucket/prefix"),
    "other buckets are a string": (b'other_buckets = "a-bucket"', "It must be a list of strings"),
    "other buckets are numbers": (b"other_buckets = [7]", "It must be a list of strings"),
    "another bucket is none": (b'other_buckets = ["a bucket"]', "s3://my-bucket/prefix"),
    "workers are a word": (b'workers = "many"', "It must be a whole number"),
    "workers are true": (b"workers = true", "It must be a whole number"),
    "workers are none": (b"workers = 0", "between 1 and 256"),
    "workers are too many": (b"workers = 1000000", "between 1 and 256"),
    "anonymous is a word": (b'anonymous = "yes"', "true or false"),
    "actors above the root": (b'actors_dir = "../actors"', "below the root"),
    "actors absolute": (b'actors_dir = "/data/actors"', "below the root"),
    "actors nowhere": (b'actors_dir = ""', "below the root"),
    "actors with NUL": (b'actors_dir = "data\\u0000"', "below the root"),
    "state above the root": (b'state_dir = "a/../../b"', "below the root"),
    "manifests with NUL": (b'manifests_dir = "data\\u0000"', "below the root"),
}


@pytest.mark.parametrize("case", TOML)
def test_a_settings_file_that_is_wrong_is_told_with_its_line_or_key(tree: Tree, refused: Refused, case: str) -> None:
    content, hint = TOML[case]
    path = tree.root / "callsheet.toml"
    path.write_bytes(content)
    tree.image("0001_anna", "a.png")
    for verb in (("sync", "--offline"), ("status",)):
        err = refused(*verb)
        assert hint in err
    assert path.read_bytes() == content
    with pytest.raises(ConfigError):
        open_library(tree.root, environ={})


@pytest.mark.parametrize("kind", ["folder", "link loop", "fifo", "closed"])
def test_a_settings_file_that_cannot_be_read_is_told(tree: Tree, kind: str) -> None:
    path = tree.root / "callsheet.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("")
        path.chmod(0)
    ran = run(tree.root, "sync", "--offline", privileged=False)
    assert ran.code == 2
    assert "callsheet.toml" in ran.err
    assert len(ran.err.splitlines()) == 2


VARIABLES = {
    "CALLSHEET_WORKERS": ["0", "-1", "257", "many", "1.5", "²", "1" + "0" * 5000],
    "CALLSHEET_ANONYMOUS": ["maybe", "2"],
    "CALLSHEET_BUCKET": ["my bucket", "a/b", "x", f"a{OSC}"],
    "CALLSHEET_OTHER_BUCKETS": ["a bucket,b-bucket"],
    "CALLSHEET_ACTORS_DIR": ["/data/actors", "../actors", "data/../../actors"],
    "CALLSHEET_MANIFESTS_DIR": ["/tmp"],
    "CALLSHEET_STATE_DIR": [".."],
    "CALLSHEET_REMOTE": ["bogus", f"bogus{OSC}"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in VARIABLES.items() for value in values])
def test_a_variable_that_is_wrong_is_told(tree: Tree, refused: Refused, name: str, value: str) -> None:
    tree.image("0001_anna", "a.png")
    refused("sync", env={name: value})


def test_a_variable_that_is_empty_counts_as_unset(tree: Tree) -> None:
    tree.image("0001_anna", "a.png")
    assert run(tree.root, "sync", "--offline", env=dict.fromkeys(VARIABLES, "")).code == 0


REMOTES = (
    "bogus",
    "bogus://bucket/prefix",
    "http://bucket/prefix",
    "https://my-bucket.s3.amazonaws.com/prefix",
    "s3://",
    "s3:///prefix",
    "s3://my bucket/prefix",
    "s3://a/prefix",
    "S3:my-bucket",
    "file://",
    "file:relative/path",
    "file://host/path",
    "file:///path?query",
    "file://[",
    "/a/path",
    f"s3://{OSC}",
)


@pytest.mark.parametrize("url", REMOTES)
def test_a_remote_that_is_none_is_told_before_anything_is_done(tree: Tree, refused: Refused, url: str) -> None:
    tree.image("0001_anna", "a.png")
    for arguments in (("--remote", url, "sync"), ("sync", "--offline", "--remote", url), ("status", "--remote", url)):
        assert "s3://" in refused(*arguments)


@pytest.mark.parametrize("verb", [("sync", "--offline"), ("status",)])
@pytest.mark.parametrize(
    "wanted",
    ["nobody", "9999", "0001_ann", "anna", "", "/", "..", "../0001_anna/..", "²", OSC, "a\nb", "\udcff", "1 2"],
)
def test_an_actor_that_nobody_knows_is_told(crowd: Tree, refused: Refused, verb: tuple[str, ...], wanted: str) -> None:
    err = refused(*verb, "0001_anna", wanted)
    assert "There is no actor" in err
    assert "callsheet status" in err


@pytest.mark.parametrize("verb", [("sync", "--offline"), ("status",)])
@pytest.mark.parametrize("wanted", ["7", "0007", "00007"])
def test_an_actor_that_two_answer_to_is_told_with_their_names(
    crowd: Tree, refused: Refused, verb: tuple[str, ...], wanted: str
) -> None:
    err = refused(*verb, wanted)
    assert "0007_cora, 0007_dora" in err
    assert "Give the full name" in err


@pytest.mark.parametrize("wanted", ["0007_cora", "0007_dora", "data/actors/0007_dora/", "1", "01", "0001"])
def test_an_actor_that_one_answers_to_is_that_one(crowd: Tree, wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    ran = run_here(crowd.root, "sync", "--offline", "--json", wanted, capsys=capsys)
    assert (ran.code, ran.document["actors"]) == (0, 1)


def test_a_known_and_an_unknown_actor_are_neither_synced(crowd: Tree) -> None:
    manifests = crowd.manifests()
    with pytest.raises(UnknownActor):
        crowd.library().sync(("0001", "9999"))
    assert crowd.manifests() == manifests


@pytest.mark.parametrize(
    "arguments",
    [("sync", "--no-such-option"), ("sinc",), ("adopt",), ("sync", "--remote"), ("--no-such-option",), ("demo", "--big", "0")],
)  # fmt: skip
def test_a_command_line_that_makes_no_sense_ends_with_2(
    tree: Tree, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    ran = run_here(tree.root, *arguments, capsys=capsys)
    assert (ran.code, ran.out) == (2, "")
    assert "Error: " in ran.err
    as_json = (
        run(tree.root, "--json", *arguments) if arguments[-1] == "--remote" else run(tree.root, *arguments, "--json")
    )
    assert as_json.code == 2
    assert as_json.document.keys() == {"error", "message", "hint"}
    assert as_json.document["error"] == "usage"


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_folder_ends_the_run_with_3(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "project"
    if kind == "file":
        root.write_text("a file")
    ran: Ran = run(root, "sync", "--offline")
    assert ran.code == 3
    assert str(root) in ran.err
    assert "run again" in ran.err or "--root" in ran.err
