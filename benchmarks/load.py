"""`python -I -S load.py HOST:PORT PATH SECONDS`: one client on one kept connection that asks for the same thing again and again.

Prints as JSON how many answers came a second, and the latency in seconds of the median and of the slowest one in a hundred. Any answer but
200 ends it with an error. As little as can be is done for each request: what is measured is the server.
"""

import socket
import sys
import time


def main(server: str, path: str, seconds: float) -> None:
    host, _, port = server.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {server}\r\n\r\n".encode()
    latencies = []
    with socket.create_connection((host, int(port))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while (before := time.perf_counter()) < end:
            connection.sendall(request)
            _receive(connection)
            latencies.append(time.perf_counter() - before)
    latencies.sort()
    count = len(latencies)
    median, slow = latencies[count // 2], latencies[count * 99 // 100]
    print(f'{{"requests": {count}, "rate": {count / seconds:.1f}, "median_s": {median:.6f}, "p99_s": {slow:.6f}}}')


def _receive(connection: socket.socket) -> None:
    """One whole answer."""
    got = b""
    while (end := got.find(b"\r\n\r\n")) < 0:
        got += _more(connection)
    head = got[:end].lower()
    if not head.startswith(b"http/1.1 200"):
        sys.exit(f"the server answered {head[:200]!r}")
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    left = length - (len(got) - end - 4)
    while left > 0:
        left -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    block = connection.recv(1 << 18)
    if not block:
        sys.exit("the server closed the connection")
    return block


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
