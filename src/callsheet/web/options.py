"""What a server is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field

from callsheet.errors import UsageError

MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `callsheet serve`. `port` 0 is any that is free; `poll_minutes` None never looks at S3 unasked.

    `token` empty asks nobody for one; a server that can be reached from other machines makes one up then. `UsageError` for one that is too
    weak, or could not be sent.
    """

    host: str = "127.0.0.1"
    port: int = 8410
    token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    watch: bool = True
    poll_minutes: float | None = None
    access_log: bool = False

    def __post_init__(self) -> None:
        plain = self.token.isascii() and self.token.isprintable() and " " not in self.token
        if self.token and not (plain and len(self.token) >= MIN_TOKEN_LENGTH):
            message = f"The token must be {MIN_TOKEN_LENGTH} or more ASCII characters, without spaces"
            raise UsageError(message, hint="Take what this prints: openssl rand -hex 16")
