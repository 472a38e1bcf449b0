"""Keys that are easily mistaken, and what which S3 server cannot hold."""

from __future__ import annotations

from callsheet.errors import RemoteError

NFC, NFD = "caf\u00e9.jpg", "cafe\u0301.jpg"
ODD_KEYS = (
    "system_actors/training_data/0000_x/0000_x_1.jpg", "/x", "//", "///x", "a//b", "dir/", "dir//", "./x", "../x", "a/./b",
    "a/../b", ".", "..", "a/..", "a+b", "a b", "a  b", " a", "a ", "a%b", "a%2Fb", "%2e%2e/x", "100%", "%", "a\\b", "q?x=1&y#z",
    "<&>\"'", "a=b;c:d@e,f!*()", "~x", "_-.", "tab\there.jpg", "line\nbreak\r.jpg", "\x01\x1f\x7f.jpg", "c1\x85.jpg",
    NFC, NFD, "\U0001f600.jpg", "\uffee", "\u00a0", "v1.0/x", "v1.0/x.jpg", "%25/x", "README", ".hidden",
)  # fmt: skip

REFUSES = "no file of its local backend can have that name: it refuses the key"
UNABLE: dict[str, dict[str, tuple[str, type[RemoteError] | str]]] = {
    "rclone": {
        "/x": (REFUSES, RemoteError),
        "///x": (REFUSES, RemoteError),
        "//": ("it takes the key for the bucket", RemoteError),
        "a//b": (REFUSES, RemoteError),
        "./x": (REFUSES, RemoteError),
        "../x": (REFUSES, RemoteError),
        "a/./b": (REFUSES, RemoteError),
        "a/../b": (REFUSES, RemoteError),
        "a/..": (REFUSES, RemoteError),
        ".": (REFUSES, RemoteError),
        "..": (REFUSES, RemoteError),
        "dir/": ("it drops trailing slashes", "dir"),
        "dir//": ("it drops trailing slashes", "dir"),
    },
}
"""By store and key: why the server cannot, and the error that comes of it or the key that it stores instead."""
