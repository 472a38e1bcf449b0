def receive(socket: int, buffer: memoryview | bytearray, timeout_ms: int, /) -> tuple[int, int]: ...
def send(socket: int, file: int, size_bytes: int, timeout_ms: int, /) -> tuple[int, int, int]: ...
def exchange(
    socket: int,
    request: bytes,
    path: str,
    file_bytes: int,
    answer: bytearray,
    body: memoryview | bytearray,
    send_timeout_ms: int,
    receive_timeout_ms: int,
    /,
) -> tuple[int, int, int, int, int, int, int]: ...
def quiet(socket: int, /) -> bool: ...
