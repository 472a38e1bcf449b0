"""Errors come back from other processes as they were raised there."""

from __future__ import annotations

import inspect
import pickle

import pytest

from callsheet import errors
from callsheet.errors import CallsheetError, LossRefused, RemoteError
from callsheet.model import Problem

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, CallsheetError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_with_all_that_it_says(kind: type[CallsheetError]) -> None:
    error = kind("It failed", hint="Mend it")
    if isinstance(error, RemoteError):
        error = type(error)("It failed", hint="Mend it", status=503, s3_code="SlowDown")
    if isinstance(error, LossRefused):
        error = LossRefused("It failed", hint="Mend it", problems=(Problem("0000_a", "a.png", "local", "gone"),))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert again.sentence == "It failed. Mend it."
    assert vars(again) == vars(error)
