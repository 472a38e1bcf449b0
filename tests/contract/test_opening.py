"""Which store a URL names, and what opening one costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from callsheet.errors import UsageError
from callsheet.layout import Layout
from callsheet.model import Location
from callsheet.remote import open_remote
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.s3 import S3Remote


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/a/prefix"])
def test_s3(url: str) -> None:
    assert isinstance(open_remote(url, layout=Layout()), S3Remote)


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a b" / "bucket").mkdir(parents=True)
    remote = open_remote(f"file://{tmp_path}/a%20b", layout=Layout(region="eu-west-1"))
    assert isinstance(remote, DirectoryRemote)
    assert list(remote.list("bucket", "")) == []
    assert remote.url(Location("bucket", "a.jpg")) == "https://bucket.s3.eu-west-1.amazonaws.com/a.jpg"


@pytest.mark.parametrize(
    "url",
    ["", "bucket", "s3:", "s3://", "memory:", "http://x/y", "file://relative/path", "file:///a?b", "s3://[", "/tmp/x"],
)
def test_anything_else_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_remote(url, layout=Layout())
    assert "s3://" in caught.value.hint


def test_opening_imports_no_library() -> None:
    """botocore and urllib3 cost more than most commands; they wait for the first request."""
    script = (
        "import sys\n"
        "from callsheet.remote import open_remote\n"
        "from callsheet.layout import Layout\n"
        "open_remote('s3://bucket', layout=Layout())\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'botocore', 'urllib3', 'ssl'}))\n"
    )
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert out == "[]\n"
