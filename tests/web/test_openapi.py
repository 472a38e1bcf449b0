"""Whatever is sent, the answer is one that OpenAPI promises: no 5xx, no other status, no other shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api_server import running
from factory import Tree

_EXAMPLES = 20


@pytest.fixture(scope="module")
def openapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The description that a running server gives of itself; its tree has actors of every kind."""
    tree = Tree(Path(tmp_path_factory.mktemp("openapi")) / "project")
    tree.both("0000_ann", "a.png")
    tree.image("0000_ann", "b.png")
    tree.object("0000_ann", "c.png")
    tree.image("nobody", "a.png")
    tree.library().sync()
    with running(tree.library(), watch=False) as api:
        yield schemathesis.openapi.from_url(f"{api.base}/openapi.json")


_ENDLESS = "/api/events"
_THERE = {"actor": "0000_ann", "filename": "a.png"}


@pytest.mark.parametrize("there", [{}, _THERE], ids=["anything", "what is there"])
def test_every_operation_keeps_its_word(openapi: Any, there: dict[str, str]) -> None:
    operations = [found.ok() for found in openapi.exclude(path=_ENDLESS).get_all_operations()]
    assert len(operations) >= 5
    for operation in operations:

        @seed(1)
        @settings(max_examples=_EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def hold(case: schemathesis.Case[Any]) -> None:
            case.path_parameters.update({name: there[name] for name in case.path_parameters.keys() & there})
            case.call_and_validate(excluded_checks=[positive_data_acceptance])  # an If-Match may say no

        hold()
