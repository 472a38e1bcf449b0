VARIANTS: list[str]
NOT_REGULAR: int
CHANGED: int
BUFFER_BYTES: int

def hash_files(paths: list[str], variant: str | None = None, /) -> list[tuple[int, int, int, str]]: ...
def hash_buffers(buffers: list[memoryview], variant: str | None = None, /) -> list[str]: ...
