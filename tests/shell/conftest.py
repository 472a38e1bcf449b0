"""A stage for commands, and what is asked there in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from stage import Here, Stage, set_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return set_stage(tmp_path)


@pytest.fixture
def here(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(stage, capsys, monkeypatch)
