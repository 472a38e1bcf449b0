"""The house has floors: a module imports only from floors below its own, and the lower two do no I/O."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import callsheet

SOURCE = Path(callsheet.__file__).parent

FLOORS = [
    {"errors", "model", "action"},
    {"layout", "codec", "legacy", "reconcile", "findings", "etag", "planfile", "plan", "report"},
    {"_md5lanes", "_bulk", "bulk", "hashing", "ahead", "local", "files", "remote", "store", "meter", "pictures", "journal"},
    {
        "run", "listing", "survey", "observe", "migrate", "sync", "status",
        "perform", "execute", "amend", "transfer", "trash", "fetch", "library",
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
    "report": {"layout", "planfile"},
    "hashing": {"_md5lanes", "local"},
    "ahead": {"hashing"},
    "bulk": {"_bulk"},
    "files": {"local", "bulk"},
    "remote": {"bulk"},
    "store": {"local", "files"},
    "journal": {"local", "files"},
    "run": {"survey"},
    "listing": {"run"},
    "survey": set(),
    "observe": {"listing", "survey", "run"},
    "migrate": {"run"},
    "status": {"survey"},
    "sync": {"run", "listing", "survey", "observe", "migrate"},
    "perform": set(),
    "execute": {"run", "perform"},
    "amend": {"run", "survey"},
    "transfer": {"run", "survey", "sync", "perform", "execute", "amend"},
    "trash": {"listing"},
    "fetch": set(),
    "library": {"run", "survey", "sync", "status", "execute", "amend", "transfer", "trash", "fetch"},
    "web": {"__init__"},
    "cli": {"settings", "web", "demo", "__init__"},
    "demo": {"settings"},
    "__init__": {"settings", "library"},
    "__main__": {"cli"},
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


def test_importing_the_package_costs_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import callsheet; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == {"callsheet"}
