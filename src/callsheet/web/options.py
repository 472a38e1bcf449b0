"""What a server is told when it is started."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """The options of `callsheet serve`. `port` 0 is any that is free; `poll_minutes` None never looks at S3 unasked.

    `token` empty asks nobody for one; a server that can be reached from other machines makes one up then.
    """

    host: str = "127.0.0.1"
    port: int = 8410
    token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    watch: bool = True
    poll_minutes: float | None = None
    access_log: bool = False
