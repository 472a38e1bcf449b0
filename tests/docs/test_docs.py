"""The documentation names every command, option, setting, code and key, and none that is not there."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import click
import pytest

from callsheet import errors
from callsheet.checkup import RULES
from callsheet.cli import callsheet
from callsheet.codec import encode
from callsheet.layout import Layout, shared_actor
from callsheet.model import Entry, Evidence, Manifest, Status
from callsheet.settings import Settings
from mutants.table import MUTANTS, seeds_of

HOME = Path(__file__).parents[2]
README = (HOME / "README.md").read_text(encoding="utf-8")
DOCS = {path.name: path.read_text(encoding="utf-8") for path in (HOME / "docs").rglob("*.md")}
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (HOME / "src").rglob("*.py"))
COMMANDS = sorted(callsheet.commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_has_help(name: str) -> None:
    assert f"`callsheet {name}" in README
    command = callsheet.commands[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"


def test_no_command_is_documented_that_is_not_there() -> None:
    told = {
        match for text in (README, *DOCS.values()) for match in re.findall(r"`callsheet (?:--\S+ \S+ )*([a-z]+)", text)
    }
    assert told <= set(COMMANDS)


def test_no_option_is_documented_that_is_not_there() -> None:
    options = {
        name
        for command in (callsheet, *callsheet.commands.values())
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    told = {match for text in (README, *DOCS.values()) for match in re.findall(r"callsheet[^\n`]* (--[a-z-]+)", text)}
    assert told <= options | {"--help"}


def test_every_setting_is_documented_with_its_variable() -> None:
    names = {field.name for kind in (Settings, Layout) for field in fields(kind)} - {"where", "root"}
    table = DOCS["settings.md"]
    assert set(re.findall(r"^\| `([a-z_0-9]+)` \|", table, re.MULTILINE)) == names
    assert {name.lower() for name in re.findall(r"`CALLSHEET_([A-Z_]+)`", table)} == names | {
        "root",
        "token",
        "scheduler",
    }


def test_every_problem_code_is_documented() -> None:
    classes = [
        kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CallsheetError)
    ]
    problems = {kind.code for kind in classes if kind.exit_code == 1 and "code" in vars(kind)}
    literal = set(re.findall(r'(?:Problem|Fault|_problem)\([^()\n]*"([a-z_]+)",', SOURCE)) | set(
        re.findall(r'"", "([a-z_]+)", message', SOURCE)
    )
    assert problems | literal <= _documented(DOCS["exit-codes.md"])


def _documented(text: str) -> set[str]:
    return set(re.findall(r"^\| `([a-z_0-9]+)` \|", text, re.MULTILINE))


def test_every_error_has_a_documented_code() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.CallsheetError)]
    assert {kind.code for kind in kinds} <= _documented(DOCS["exit-codes.md"])


def test_the_codes_of_the_apis_own_are_those_that_are_documented() -> None:
    told = set(re.findall(r'(?:ApiError|error_response)\(\s*\d{3},\s*"([a-z_0-9]+)"', SOURCE))
    told |= set(
        re.findall(r'\b\d{3}: "([a-z_]+)"', (HOME / "src/callsheet/web/answers.py").read_text(encoding="utf-8"))
    )
    _, _, table = DOCS["api.md"].partition("## Codes of the API's own")
    assert told - {errors.CallsheetError.code} == _documented(table)


def test_every_key_of_a_manifest_is_documented() -> None:
    full = Entry("a.png", "p", good=True, prompt="x", expected_md5="a" * 32, alternate_s3_urls=("u",))
    document = encode(Manifest("0000_x", (full,), (full,)), shared_actor("0000_x"))
    for key in (*document, *document["statistics"], *document["training_data"][0]):
        assert f"`{key}`" in DOCS["manifest.md"], key
    for value in (*Status, *Evidence):
        assert f"`{value.value}`" in DOCS["manifest.md"]


def test_every_link_leads_somewhere() -> None:
    for path in (HOME / "README.md", *(HOME / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_the_version_is_one() -> None:
    import callsheet as package

    project = (HOME / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{package.__version__}"' in project
    assert f"## {package.__version__}" in (HOME / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_decision_is_numbered_and_says_what_was_decided() -> None:
    records = sorted((HOME / "docs" / "decisions").glob("*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    assert all("**Decision.**" in path.read_text(encoding="utf-8") for path in records)


def test_every_finding_of_a_check_is_documented_as_its_rule_says() -> None:
    rows = re.findall(r"^\| `([a-z_0-9]+)` \| (\w+) \| [^|]+\|([^|]*)\|[^|]*\|$", DOCS["fsck.md"], re.MULTILINE)
    told = {(code, severity, bool(fix.strip())) for code, severity, fix in rows}
    assert len(rows) == len(RULES)
    assert told == {(code.value, rule.severity.value, bool(rule.fix)) for code, rule in RULES.items()}


def test_every_test_that_is_said_to_hold_a_promise_is_there() -> None:
    named = set(re.findall(r"`(tests/[^`]+)`", DOCS["reliability.md"]))
    assert named
    assert all(list(HOME.glob(pattern)) for pattern in named)


def test_every_mutant_is_documented_with_what_it_breaks_and_what_notices_it() -> None:
    _, _, text = DOCS["reliability.md"].partition("## Mutants")
    text, _, _ = text.partition("\n## ")
    told = re.findall(r"^\| (.+) \| (.+) \| `(.+)` \|$", text, re.MULTILINE)
    assert told == [(one.name, one.breaks, one.killer.rpartition("/")[2]) for one in MUTANTS]
    by_histories = sum(bool(seeds_of(one.killer)) for one in MUTANTS)
    assert f"plants {len(MUTANTS)} bugs" in text
    assert f"{by_histories} are noticed by simulated histories, {len(MUTANTS) - by_histories} by a test" in " ".join(
        text.split()
    )
