"""Any bytes from outside give a value or an error of ours that can be told: never another exception, a hang or a memory that is full.

`make test` tries the same examples each time. `make fuzz` tries others, for FUZZ_SECONDS, and keeps what it finds below `corpus/`.
"""

from __future__ import annotations

import hashlib
import resource
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.large import LARGE
from fuzz.mutations import byte_mutants
from fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
KEPT = sorted(CORPUS.glob("*/*"))
EXAMPLES = 300
MOST_CPU_S = 5.0
MOST_GROWTH_KIB = 400 << 10


def _inputs(name: str) -> st.SearchStrategy[bytes]:
    """The target's own, and what is near to what was found before."""
    found = [path.read_bytes() for path in KEPT if path.parent.name == name]
    return TARGETS[name].inputs | byte_mutants(st.sampled_from(found)) if found else TARGETS[name].inputs


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_understood_or_told(name: str, examples: list[int]) -> None:
    failing: list[bytes] = []

    profile = settings()

    @settings(max_examples=max(EXAMPLES, profile.max_examples))
    @given(raw=_inputs(name))
    def fuzz(raw: bytes) -> None:
        examples[0] += 1
        try:
            TARGETS[name].check(raw)
        except BaseException:
            failing.append(raw)  # the last one is the simplest
            raise

    try:
        fuzz()
    except BaseException as error:
        if failing and not profile.derandomize:
            path = CORPUS / name / f"found-{hashlib.sha256(failing[-1]).hexdigest()[:12]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(failing[-1])
            error.add_note(f"Kept as {path}: give it a name that tells what it is, mend the code, commit both.")
        raise


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once_is_not_found_again(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in LARGE.items() for case in cases])
def test_what_is_large_takes_neither_long_nor_much_memory(name: str, case: str) -> None:
    raw = LARGE[name][case]()
    before_kib, started_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time()
    TARGETS[name].check(raw)
    assert time.thread_time() - started_s < MOST_CPU_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < MOST_GROWTH_KIB


@pytest.mark.parametrize("name", ["manifest", "legacy", "plan", "journal"])
def test_what_is_nested_so_deeply_that_it_can_just_be_read_can_be_written_or_is_told(name: str) -> None:
    for depth in (*range(240, 260), *range(390, 410), *range(850, 1010, 3)):
        deep = b"[" * depth + b"]" * depth
        for key in (b"x", b"verb", b"training_data_updated", b"images", b"undoes"):
            TARGETS[name].check(b'{"callsheet_plan": 1, "actions": [], "callsheet_run": 1, "%b": %b}\n' % (key, deep))
