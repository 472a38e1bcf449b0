"""The house has floors: a module imports only from floors below its own, and the lower two do no I/O."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import callsheet
from callsheet import memo

SOURCE = Path(callsheet.__file__).parent

FLOORS = [
    {"errors", "model", "action"},
    {"layout", "codec", "legacy", "reconcile", "findings", "etag", "planfile", "plan", "report", "result", "checkup", "invariants"},
    {
        "_bulk", "_wire", "system", "_md5lanes", "hashing", "ahead", "local", "folders", "locks", "drafts", "files", "remote", "store", "memo", "meter", "pictures",
        "journal", "cluster", "elsewhere",
    },
    {
        "run", "listing", "survey", "observe", "migrate", "dispatch", "sync", "status",
        "site", "download", "perform", "again", "execute", "relook", "amend", "transfer", "trash", "fetch", "fsck", "library",
    },
    {"settings", "web", "cli", "demo", "__init__", "__main__"},
]  # fmt: skip
# Within a floor, a module may import those before it.
WITHIN = {
    "errors": {"model"},
    "action": {"errors", "model"},
    "codec": {"layout"},
    "legacy": {"layout", "codec"},
    "reconcile": {"layout"},
    "findings": {"layout"},
    "planfile": {"layout", "codec"},
    "plan": {"layout", "reconcile"},
    "report": {"layout"},
    "result": {"layout", "planfile", "report"},
    "checkup": {"layout"},
    "invariants": {"layout", "codec", "reconcile", "findings", "etag", "checkup"},
    "system": {"_bulk"},
    "local": {"system"},
    "hashing": {"_md5lanes", "system"},
    "ahead": {"hashing", "system"},
    "folders": {"local", "system"},
    "locks": {"local", "folders", "system"},
    "drafts": {"local", "folders", "system"},
    "files": {"local", "folders", "locks", "drafts", "system"},
    "remote": {"_wire", "system"},
    "store": {"local", "folders", "locks", "files", "system"},
    "meter": {"system"},
    "pictures": {"system"},
    "memo": {"local", "files", "system"},
    "journal": {"local", "locks", "files", "system"},
    "cluster": {"system"},
    "elsewhere": {"folders", "files", "remote", "store", "system"},
    "run": {"survey"},
    "listing": {"run", "survey"},
    "survey": set(),
    "observe": {"listing", "survey", "run"},
    "migrate": {"run"},
    "status": {"survey", "observe"},
    "dispatch": {"run"},
    "sync": {"run", "listing", "survey", "observe", "migrate", "dispatch"},
    "site": set(),
    "download": {"site"},
    "perform": {"site", "download"},
    "again": {"site", "download", "perform"},
    "execute": {"run", "site", "download", "perform", "again", "dispatch"},
    "amend": {"run", "survey"},
    "relook": {"run", "listing", "site", "execute", "sync"},
    "transfer": {"run", "survey", "sync", "site", "again", "execute", "relook", "amend"},
    "trash": {"listing"},
    "fetch": set(),
    "fsck": {"run", "listing", "survey", "status", "sync"},
    "library": {"fsck", "run", "survey", "sync", "status", "execute", "amend", "transfer", "trash", "fetch"},
    "web": {"__init__"},
    "cli": {"settings", "web", "demo", "__init__"},
    "demo": {"settings"},
    "__init__": {"settings", "library"},
    "__main__": {"cli"},
}
BELOW_THE_SHELLS = set().union(*FLOORS[:4]) - {"system"}
NOT_OF_THE_MACHINE = {
    "O_APPEND", "O_CREAT", "O_DIRECTORY", "O_EXCL", "O_NOFOLLOW", "O_NONBLOCK", "O_RDONLY", "O_RDWR", "O_TRUNC", "O_WRONLY",
    "DirEntry", "environ", "fspath", "sep", "stat_result", "strerror",
    "path.abspath", "path.basename", "path.commonpath", "path.commonprefix", "path.dirname", "path.join", "path.relpath",
    "path.samestat", "path.splitext",
}  # fmt: skip
"""Of `os`: words, and what computes with paths alone."""

OF_THE_MACHINE = {"glob", "io.open", "pathlib", "random", "secrets", "subprocess", "tempfile", "time", "uuid"}
OF_THE_NETWORK = {
    "asyncio",
    "boto3",
    "botocore",
    "http",
    "httpx",
    "requests",
    "selectors",
    "socket",
    "ssl",
    "urllib.request",
    "urllib3",
}
PURE_MAY_IMPORT = {
    "__future__", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib", "json", "math", "operator",
    "re", "typing", "unicodedata", "urllib", "orjson",
}  # fmt: skip


def _modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def _imports(path: Path) -> set[str]:
    """Dotted names of all imports, those inside functions included; `from a import b` counts as `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _rooms_used(path: Path) -> set[str]:
    """The rooms of the house that a module imports from; a public name of the package itself is `__init__`."""
    used = set()
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "callsheet":
            is_room = any(parts[1] in rooms for rooms in FLOORS)
            used.add(parts[1] if is_room else "__init__")
    return used - {_room(path)}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_imports_from_lower_floors_only(path: Path) -> None:
    room = _room(path)
    for used in _rooms_used(path):
        assert _floor(used) < _floor(room) or used in WITHIN.get(room, set()), f"{room} imports {used}"


@pytest.mark.parametrize("room", sorted(FLOORS[0] | FLOORS[1]))
def test_the_lower_floors_do_no_input_or_output(room: str) -> None:
    outside = {name.split(".")[0] for name in _imports(SOURCE / f"{room}.py")} - {"callsheet"}
    assert outside <= PURE_MAY_IMPORT


def _calls_of_the_machine(path: Path) -> Iterator[str]:
    """What a module asks of the machine other than through `callsheet.system`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name("open")):
                yield f"{node.lineno}: open"
            case ast.Call(func=ast.Attribute(ast.Name("datetime"), "now" | "today" | "utcnow" as name)):
                yield f"{node.lineno}: datetime.{name}"
            case ast.Attribute(ast.Name("fcntl"), name) if not name.startswith("LOCK_"):
                yield f"{node.lineno}: fcntl.{name}"
            case ast.Attribute(ast.Name("shutil"), name) if name != "copyfileobj":
                yield f"{node.lineno}: shutil.{name}"
            case ast.Attribute(ast.Attribute(ast.Name("os"), "path"), name) if f"path.{name}" not in NOT_OF_THE_MACHINE:
                yield f"{node.lineno}: os.path.{name}"
            case ast.Attribute(ast.Name("os"), name) if name != "path" and name not in NOT_OF_THE_MACHINE:
                yield f"{node.lineno}: os.{name}"


@pytest.mark.parametrize("room", sorted(BELOW_THE_SHELLS - {"_bulk", "_wire", "_md5lanes"}))
def test_the_machine_is_asked_through_one_module_and_the_network_by_the_stores(room: str) -> None:
    for path in (path for path in _modules() if _room(path) == room):
        outside = {name for name in _imports(path) if not name.startswith("callsheet.")}
        whole = {part for name in outside for part in (name, name.split(".")[0], ".".join(name.split(".")[:2]))}
        assert not whole & OF_THE_MACHINE, path
        assert not whole & {"os.path", "fcntl.flock", "datetime.now"}, path
        assert room == "remote" or not whole & OF_THE_NETWORK, path
        assert not list(_calls_of_the_machine(path)), path
        assert not any(name.startswith("callsheet.system.") for name in _imports(path)), "name it in full: system.…"


def test_every_module_has_a_floor() -> None:
    rooms = {_room(path) for path in _modules()}
    assert rooms <= set().union(*FLOORS)


def test_only_reconcile_decides_on_a_status() -> None:
    """Others may name a status to read or count it, never to set it."""
    for path in _modules():
        if _room(path) in ("reconcile", "codec"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.keyword) and node.arg == "status" and "Status" in ast.unparse(node)), path


def test_a_memo_rests_on_every_module_that_decides_what_a_look_comes_to() -> None:
    deciding = {"memo", "observe", "reconcile", "findings", "legacy", "codec"}
    used = set().union(*(_rooms_used(SOURCE / f"{name}.py") for name in deciding), deciding)
    assert used - {"errors", "remote", "files", "system", "listing"} <= set(memo.RESTS_ON)


def test_importing_the_package_costs_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import callsheet; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == {"callsheet"}
