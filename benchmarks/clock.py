"""`python -I -S clock.py STDOUT STDERR COMMAND...`: run a command to its end, and print as JSON what it cost.

Apart from the benchmark, and without imports that it can do without: Linux counts into a process's peak memory what its
parent held when it was started.
"""

import os
import sys
import time

OUT, ERR = 1, 2
RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


def main(stdout: str, stderr: str, command: list[str]) -> None:
    """Times in seconds, memory in bytes; `exit` is negative for a signal."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    redirected = [(os.POSIX_SPAWN_OPEN, fd, path, flags, 0o644) for fd, path in ((OUT, stdout), (ERR, stderr))]
    started_s = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=redirected)
    _, status, usage = os.wait4(process, 0)
    wall_s = time.perf_counter() - started_s
    cpu_s = usage.ru_utime + usage.ru_stime
    peak_bytes = usage.ru_maxrss * RSS_UNIT_BYTES
    code = os.waitstatus_to_exitcode(status)
    print(f'{{"exit": {code}, "wall_s": {wall_s:.6f}, "cpu_s": {cpu_s:.6f}, "peak_bytes": {peak_bytes}}}')


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
