"""Nobody reaches the server who must not, and nothing reaches a browser that does more than show an image."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import struct
import threading
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image

from api_server import Api, running
from callsheet import layout
from callsheet.cli import main
from callsheet.errors import UsageError
from callsheet.web.options import ServeOptions
from callsheet.web.security import MAX_BODY_BYTES, Access
from callsheet.web.serve import listen
from factory import Tree
from stage import ANNA, picture

TOKEN = "canary-token-0123456789"
MARK = {"good": True}
CANARY = b"canary in a file that nobody may read"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def anna(tree: Tree) -> Tree:
    """One actor with an image, and beside it what nobody may read: its bytes are those of an image, with a canary at the end."""
    tree.both(ANNA, "a.png", picture(1))
    tree.library().sync()
    (tree.root / "secret.png").write_bytes(picture(2) + CANARY)
    tree.image(f"{ANNA}_private", "secret.png", picture(3) + CANARY)
    return tree


@pytest.fixture
def api(anna: Tree) -> Iterator[Api]:
    with running(anna.library()) as server:
        yield server


@pytest.fixture
def locked(anna: Tree) -> Iterator[Api]:
    with running(anna.library(), token=TOKEN) as server:
        yield server


def raw(
    api: Api, target: str, *, method: str = "GET", host: str = "", more: str = "", body: bytes = b""
) -> tuple[int, bytes]:
    """A request whose target goes over the wire as it is, with no client to tidy it. Status, and all that came after it."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host or f'127.0.0.1:{api.port}'}\r\nConnection: close\r\n{more}\r\n"
    with socket.create_connection(("127.0.0.1", api.port), 20) as wire:
        wire.sendall(head.encode("latin-1") + body)
        answer = b"".join(iter(lambda: wire.recv(65536), b""))
    line, _, rest = answer.partition(b"\r\n")
    return int(line.split()[1]), rest


UPS = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%5c",
    "..\\",
    "..%c0%af",
    "....//",
    "%2e%2e%5c",
    "..;/",
)


def test_no_path_leads_out_of_an_actors_folder(api: Api) -> None:
    for climb in [up * depth for up in UPS for depth in range(1, 6)]:
        for target in (
            f"/data/actors/{ANNA}/training_data/{climb}secret.png",
            f"/data/actors/{ANNA}/{climb}secret.png",
            f"/data/actors/{climb}secret.png",
            f"/api/actors/{climb}{ANNA}/training-data/secret.png/content",
            f"/api/actors/{ANNA}/training-data/{climb}secret.png/content",
            f"/api/actors/{ANNA}/training-data/{climb}secret.png/thumbnail",
            f"/api/actors/{climb}/base-image",
            f"/data/actors/{ANNA}/training_data/{climb}{ANNA}_private/training_data/secret.png",
        ):
            status, answer = raw(api, target)
            assert status in (400, 404), (target, status)
            assert CANARY not in answer


@pytest.mark.parametrize(
    "name",
    ["a.png%00", "%00a.png", "a.png%00.jpg", "a.png%0d%0aX-Evil:%201", "%2fetc%2fpasswd", "/etc/passwd", "."],
)
def test_odd_names_are_not_found(api: Api, name: str) -> None:
    for target in (f"/data/actors/{ANNA}/training_data/{name}", f"/api/actors/{ANNA}/training-data/{name}/content"):
        status, answer = raw(api, target)
        assert status in (400, 404, 415), (target, status)
        assert b"X-Evil: 1\r\n" not in answer


@pytest.mark.parametrize("folder", ["training_data", "base_image", "poster_frame"])
@pytest.mark.parametrize(
    "aim", ["../../../../secret.png", f"../../{ANNA}_private/training_data/secret.png", "/etc/hostname", "/dev/zero"]
)
def test_a_symlink_that_leaves_the_folder_is_not_followed(anna: Tree, api: Api, folder: str, aim: str) -> None:
    link = anna.root / anna.where.folder(ANNA) / folder / f"{ANNA}_base.png"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(aim)
    for target in (
        f"/data/actors/{ANNA}/{folder}/{link.name}",
        f"/api/actors/{ANNA}/training-data/{link.name}/content",
        f"/api/actors/{ANNA}/base-image",
    ):
        status, answer = raw(api, target)
        assert status == 404, (target, status)
        assert CANARY not in answer


def test_a_recorded_image_that_became_a_symlink_is_not_followed(anna: Tree, api: Api) -> None:
    image = anna.root / anna.where.image(ANNA, "a.png")
    image.unlink()
    image.symlink_to(anna.root / "secret.png")
    status, answer = raw(api, f"/api/actors/{ANNA}/training-data/a.png/content?side=local")
    assert status == 404
    assert CANARY not in answer


def test_a_folder_that_is_a_symlink_out_is_not_followed(anna: Tree, api: Api) -> None:
    folder = anna.root / anna.where.folder(ANNA) / "poster_frame"
    folder.symlink_to(anna.root / anna.where.training_dir(f"{ANNA}_private"))
    status, answer = raw(api, f"/data/actors/{ANNA}/poster_frame/secret.png")
    assert status == 404
    assert CANARY not in answer


def test_a_fifo_keeps_nobody_waiting(anna: Tree, api: Api) -> None:
    os.mkfifo(anna.folder(ANNA) / "pipe.png")
    assert raw(api, f"/data/actors/{ANNA}/training_data/pipe.png")[0] == 404


@pytest.mark.parametrize(
    "path", ["training_data/response.json", "training_data/a.svg", "training_data/.hidden.png", "manifest.json"]
)
def test_only_images_are_files_to_look_at(anna: Tree, api: Api, path: str) -> None:
    (anna.root / anna.where.folder(ANNA) / path).write_bytes(b"{}")
    assert raw(api, f"/data/actors/{ANNA}/{path}")[0] == 404


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", "localhost", "10.0.0.1:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}/x", "[::1", "169.254.169.254:{port}"],
)  # fmt: skip
def test_a_foreign_host_is_refused(api: Api, host: str) -> None:
    """A page whose name was made to point here (DNS rebinding) sends its own name."""
    for path in ("/api/actors", "/", "/healthz", f"/data/actors/{ANNA}/training_data/a.png"):
        status, answer = raw(api, path, host=host.format(port=api.port))
        assert status in (400, 403), path
        assert b"Content-Security-Policy".lower() in answer.lower() or status == 400


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:{port}",
        "localhost:{port}",
        "LOCALHOST:{port}",
        "[::1]:{port}",
        "127.1.2.3:{port}",
        "localhost.:{port}",
    ],
)
def test_names_of_this_machine_are_answered_to(api: Api, host: str) -> None:
    assert raw(api, "/api/actors", host=host.format(port=api.port))[0] == 200


def test_two_hosts_are_none(api: Api) -> None:
    assert raw(api, "/api/actors", more="Host: evil.example\r\n")[0] in (400, 403)


def test_other_names_are_answered_to_if_told(anna: Tree) -> None:
    with running(anna.library(), allowed_hosts=("Sheets.example", "tunnel.example:9000")) as api:
        assert raw(api, "/api/actors", host="sheets.example")[0] == 200
        assert raw(api, "/api/actors", host=f"sheets.example:{api.port}")[0] == 200
        assert raw(api, "/api/actors", host="tunnel.example:9000")[0] == 200
        assert raw(api, "/api/actors", host="tunnel.example:9001")[0] == 403


def test_a_server_that_listens_everywhere_answers_to_addresses_not_to_strange_names() -> None:
    access = Access("0.0.0.0", 80, token=TOKEN)
    assert access.answers_to("10.1.2.3", "http")
    assert access.answers_to(socket.gethostname(), "http")
    assert not access.answers_to("evil.example", "http")
    assert not Access("127.0.0.1", 80).answers_to("10.1.2.3", "http")
    assert Access("127.0.0.1", 443).answers_to("localhost", "https")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost:{port}"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:{port}"},
    ],
)
def test_another_site_changes_nothing(anna: Tree, api: Api, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=api.port) for name, value in headers.items()}
    for method in ("PATCH", "POST", "PUT", "DELETE"):
        answer = api.send(method, f"/api/actors/{ANNA}/training-data/a.png", body=MARK, headers=sent)
        assert (answer.status, answer.json()["error"]) == (403, "forbidden")
    assert not anna.library().manifest(ANNA).entries[0].good


def test_the_own_page_and_programs_may_change(api: Api) -> None:
    path = f"/api/actors/{ANNA}/training-data/a.png"
    page = {"Origin": api.base, "Sec-Fetch-Site": "same-origin"}
    assert api.send("PATCH", path, body=MARK, headers=page).json()["good"] is True
    assert api.send("PATCH", path, body={"good": False}).json()["good"] is False


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "application/jsonx"],
)
def test_what_a_form_can_send_changes_nothing(anna: Tree, api: Api, kind: str) -> None:
    answer = api.send(
        "PATCH",
        f"/api/actors/{ANNA}/training-data/a.png",
        body=json.dumps(MARK).encode(),
        headers={"Content-Type": kind},
    )
    assert (answer.status, answer.json()["error"]) == (415, "wrong_type")
    status, _ = raw(
        api, "/api/jobs", method="POST", more="Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 0\r\n"
    )
    assert status == 415
    assert not anna.library().manifest(ANNA).entries[0].good


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "POST"])
def test_a_preflight_is_not_granted(api: Api, method: str) -> None:
    asked = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "content-type",
    }
    answer = api.send("OPTIONS", f"/api/actors/{ANNA}/training-data/a.png", headers=asked)
    assert answer.status in (403, 405)
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_a_large_body_is_refused_before_all_of_it_was_read(api: Api) -> None:
    path, kind = f"/api/actors/{ANNA}/training-data", "Content-Type: application/json\r\n"
    for announced in ("100000000000", "9" * 5000):
        status, answer = raw(
            api, path, method="PATCH", more=f"{kind}Content-Length: {announced}\r\n"
        )  # not a byte of it comes
        assert status in (400, 413)
    assert b"too_large" in raw(api, path, method="PATCH", more=f"{kind}Content-Length: 100000000000\r\n")[1]
    blocks = b"10000\r\n%s\r\n" % (b" " * 65536) * 128 + b"1\r\n \r\n"  # 8 MiB and a byte, and there is no end to it
    status, answer = raw(api, path, method="PATCH", more=f"{kind}Transfer-Encoding: chunked\r\n", body=blocks)
    assert status == 413
    assert b"too_large" in answer


def test_a_body_of_the_largest_size_is_read(api: Api) -> None:
    body = json.dumps({"images": {"a.png": {"prompt": "x"}}}).encode()
    padded = body + b" " * (MAX_BODY_BYTES - len(body))
    headers = {"Content-Type": "application/json"}
    assert api.send("PATCH", f"/api/actors/{ANNA}/training-data", body=padded, headers=headers).status == 200
    assert api.send("PATCH", f"/api/actors/{ANNA}/training-data", body=padded + b" ", headers=headers).status == 413


PATHS = (
    "/api/actors",
    f"/api/actors/{ANNA}/training-data",
    f"/data/actors/{ANNA}/training_data/a.png",
    "/openapi.json",
    "/api/events",
    "/nowhere",
    "/metrics",
    "/",
)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-token-0123456789"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xff"},
        {"Cookie": "callsheet_{port}=" + "0" * 64},
        {"Cookie": f"callsheet_{{port}}={TOKEN}"},
        {"Cookie": "callsheet_{port}"},
    ],
)  # fmt: skip
def test_nothing_is_told_without_the_token(locked: Api, headers: dict[str, str]) -> None:
    sent = {name: value.format(port=locked.port) for name, value in headers.items()}
    for path in PATHS:
        answer = locked.send("GET", path, headers=sent)
        assert (answer.status, answer.json()["error"]) == (401, "unauthorized"), path
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_health_is_told_without_the_token_and_nothing_of_the_tree(locked: Api) -> None:
    locked.service.jobs.notes.append("canary of a path")
    assert locked.json("/healthz").keys() == {"status", "version", "watching"}
    known = locked.get("/healthz", authorization=f"Bearer {TOKEN}").json()
    assert known["notes"] == ["canary of a path"]


def test_nothing_is_changed_without_the_token(anna: Tree, locked: Api) -> None:
    assert locked.send("PATCH", f"/api/actors/{ANNA}/training-data/a.png", body=MARK).status == 401
    assert not anna.library().manifest(ANNA).entries[0].good


def test_a_program_sends_the_token(locked: Api) -> None:
    assert locked.get("/api/actors", authorization=f"Bearer {TOKEN}").status == 200
    assert locked.get("/api/actors", authorization=f"bearer {TOKEN}").status == 200


def test_the_link_makes_the_browser_keep_a_cookie_that_does_not_give_the_token_away(locked: Api) -> None:
    assert locked.url == f"{locked.base}/login?token={TOKEN}"
    answer = locked.get(locked.url.removeprefix(locked.base))
    assert answer.status == 200, "a redirect from a link in a mail would bring no strict cookie along"
    assert '<meta http-equiv="refresh" content="0;url=/">' in answer.data.decode()
    assert TOKEN not in answer.data.decode()
    cookie = answer.headers["Set-Cookie"]
    assert TOKEN not in cookie
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "samesite=strict", "path=/"}
    assert locked.get("/api/actors", cookie=cookie.partition(";")[0]).status == 200
    assert locked.get("/api/actors", cookie="other=1; " + cookie.partition(";")[0]).status == 200


@pytest.mark.parametrize("odd", ['x={"a":1}', "café=1", "a b=c", "=", "x", "$Version=1", 'y="', "z=\xff"])
def test_other_cookies_do_not_hide_ours(locked: Api, odd: str) -> None:
    ours = locked.get(f"/login?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
    for cookie in (f"{odd}; {ours}", f"{ours}; {odd}"):
        assert locked.get("/api/actors", cookie=cookie).status == 200, cookie


def test_the_cookie_of_one_token_is_good_for_no_other(anna: Tree) -> None:
    with running(anna.library(), token=TOKEN) as api:
        cookie = api.get(f"/login?token={TOKEN}").headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    with running(anna.library(), token=TOKEN[::-1]) as other:
        assert other.get("/api/actors", cookie=f"callsheet_{other.port}={cookie}").status == 401


def test_the_cookie_is_for_https_if_the_browser_came_by_it(locked: Api) -> None:
    answer = locked.get(f"/login?token={TOKEN}", x_forwarded_proto="https", host=f"localhost:{locked.port}")
    assert "; secure" in answer.headers["Set-Cookie"].lower()


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?token=",
        "?token=wrong",
        f"?token={TOKEN}x",
        f"?token={TOKEN[:-1]}",
        f"?Token={TOKEN}",
        "?token=%00",
        "?token=%ff",
    ],
)
def test_a_wrong_link_gives_no_cookie(locked: Api, query: str) -> None:
    answer = locked.get(f"/login{query}")
    assert answer.status == 401
    assert "Set-Cookie" not in answer.headers


def test_a_browser_is_told_what_to_do_and_nothing_of_what_it_asked(locked: Api) -> None:
    answer = locked.get(f"/{SCRIPT}?token={SCRIPT}", accept="text/html,*/*")
    assert answer.status == 401
    assert "callsheet serve" in answer.data.decode()
    assert SCRIPT not in answer.data.decode()


@pytest.mark.parametrize(
    "token",
    ["short", "fifteen-letters", "with space in the middle", "ünïcödé-tökén-0123456789", "new\nline-0123456789ab"],
)
def test_a_weak_token_is_refused(token: str) -> None:
    with pytest.raises(UsageError) as refused:
        ServeOptions(token=token)
    assert token not in str(refused.value)


def test_a_server_for_others_makes_a_token_up(anna: Tree) -> None:
    tokens = set()
    for _ in range(2):
        with running(anna.library(), host="0.0.0.0") as api:
            match = re.fullmatch(r"http://[^/]+/login\?token=([\w-]{32,})", api.url)
            assert match, api.url
            tokens.add(match[1])
            assert raw(api, "/api/actors")[0] == 401
            assert raw(api, "/api/actors", more=f"Authorization: Bearer {match[1]}\r\n")[0] == 200
    assert len(tokens) == 2


def test_a_port_that_is_taken_is_told(anna: Tree) -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(UsageError, match=r"Cannot listen at 127\.0\.0\.1"):
        listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="Cannot listen at no-such-host"):
        listen("no-such-host.invalid", 0)


EVERYWHERE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/actors"), ("GET", "/nowhere"), ("GET", "/api/actors/9/training-data"), ("GET", "/api/actors?page=x"), ("OPTIONS", "/api/actors"), ("PUT", "/api/actors"), ("GET", f"/data/actors/{ANNA}/training_data/a.png"), ("GET", f"/api/actors/{ANNA}/training-data/a.png/thumbnail")],
)  # fmt: skip
def test_every_answer_has_its_headers(api: Api, method: str, path: str) -> None:
    answer = api.send(method, path)
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers.items() >= EVERYWHERE.items()
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';") or policy == "sandbox; default-src 'none'"
    assert "unsafe" not in policy
    assert "server" not in headers
    assert not [name for name in headers if name.startswith("access-control-")]


def test_an_answer_to_a_failure_has_its_headers_and_tells_nothing_of_it(
    anna: Tree, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = anna.library()
    with running(library) as api:
        monkeypatch.setattr(library, "glance", lambda _: 1 / 0)
        answer = api.get(f"/api/actors/{ANNA}/training-data")
    assert (answer.status, answer.json()["error"]) == (500, "error")
    assert "ZeroDivision" not in answer.data.decode()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "ZeroDivision" in caplog.text


def test_script_in_a_name_or_a_prompt_stays_text(anna: Tree) -> None:
    name = f"{SCRIPT.replace('/', '')}.png"
    anna.image(ANNA, name, picture(7))
    anna.library().sync()
    anna.library().mark(ANNA, name, prompt=f"</script>{SCRIPT}")
    with running(anna.library()) as api:
        for path in (
            f"/api/actors/{ANNA}/training-data",
            f"/api/actors/{SCRIPT}",
            f"/api/actors?sort={SCRIPT}",
        ):
            answer = api.get(path, accept="text/html")
            assert answer.headers["Content-Type"] == "application/json", path
        for path in (f"/{SCRIPT}", f"/actors/{SCRIPT}"):
            answer = api.get(path, accept="text/html")
            assert (answer.status, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8"), path
            assert "alert(1)" not in answer.data.decode(), path
        assert api.get(f"/{SCRIPT}").headers["Content-Type"] == "application/json"
        images = api.json(f"/api/actors/{ANNA}/training-data")["training_images"]
        image = next(image for image in images if image["filename"] == name)
        answer = api.get(image["content_url"])
        assert answer.headers["Content-Type"] == "image/png"
        assert "<" not in answer.headers["Content-Disposition"]


POLYGLOTS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "gif and script": b"GIF89a/*" + b"\0" * 20 + b"*/=1;alert(1)",
    "pdf": b"%PDF-1.7 <script>alert(1)</script>",
}


@pytest.mark.parametrize("kind", POLYGLOTS)
def test_what_pretends_to_be_an_image_is_sent_as_one_and_can_do_nothing(anna: Tree, kind: str) -> None:
    anna.image(ANNA, "fake.png", POLYGLOTS[kind])
    anna.library().sync()
    with running(anna.library()) as api:
        for path in (
            f"/api/actors/{ANNA}/training-data/fake.png/content",
            f"/data/actors/{ANNA}/training_data/fake.png",
        ):
            answer = api.get(path)
            assert (answer.status, answer.data) == (200, POLYGLOTS[kind])
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
            assert answer.headers["Content-Disposition"].startswith("inline; filename*=")
        answer = api.get(f"/api/actors/{ANNA}/training-data/fake.png/thumbnail")
        assert (answer.status, answer.json()["error"]) == (415, "not_an_image")


def test_a_type_is_known_of_every_kind_of_image_and_none_can_hold_script() -> None:
    kinds = {layout.content_type(f"x{suffix}") for suffix in layout.IMAGE_SUFFIXES}
    assert all(kind.startswith("image/") and "svg" not in kind for kind in kinds)


def png_of(width: int, height: int) -> bytes:
    """A PNG that says to be so large, and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as it is outside of tests
@pytest.mark.parametrize("content", [png_of(60_000, 60_000), png_of(10_000, 10_000), b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0)], ids=["png", "smaller png", "bmp"])  # fmt: skip
def test_an_image_with_too_many_pixels_is_not_decoded(anna: Tree, content: bytes) -> None:
    anna.image(ANNA, "bomb.png", content)
    anna.library().sync()
    with running(anna.library()) as api:
        answer = api.get(f"/api/actors/{ANNA}/training-data/bomb.png/thumbnail")
    assert (answer.status, answer.json()["error"]) == (415, "not_an_image")
    assert "more pixels than is safe" in answer.json()["message"]


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "EPS", "ICO"])
def test_no_decoder_but_those_of_our_kinds_of_images_sees_a_file(anna: Tree, kind: str) -> None:
    """Whatever it is named: that of EPS would start another program."""
    held = io.BytesIO()
    Image.new("RGB", (32, 32)).save(held, kind)
    anna.image(ANNA, "other.png", held.getvalue())
    anna.library().sync()
    with running(anna.library()) as api:
        answer = api.get(f"/api/actors/{ANNA}/training-data/other.png/thumbnail")
    assert (answer.status, answer.json()["error"]) == (415, "not_an_image")


@pytest.fixture
def trap() -> Iterator[tuple[int, list[object]]]:
    """A port that a request would betray itself at, and who came."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        ended = threading.Event()

        def wait() -> None:
            while not ended.is_set():
                try:
                    caller, place = listener.accept()
                except TimeoutError:
                    continue
                came.append(place)
                caller.close()

        thread = threading.Thread(target=wait)
        thread.start()
        yield listener.getsockname()[1], came
        ended.set()
        thread.join()


def test_a_url_in_a_manifest_is_never_contacted(anna: Tree, trap: tuple[int, list[object]]) -> None:
    port, came = trap
    urls = {
        "evil.png": f"http://127.0.0.1:{port}/story-boards-assets/system_actors/training_data/{ANNA}/evil.png",
        "bare.png": f"http://127.0.0.1:{port}/evil.png",
        "meta.png": "http://169.254.169.254/latest/meta-data/iam/security-credentials/x.png",
        "file.png": "file:///etc/passwd",
        "user.png": f"http://story-boards-assets.s3.amazonaws.com@127.0.0.1:{port}/x.png",
    }
    document = anna.read_manifest("0000")
    for name, url in urls.items():
        row = {
            **document["training_data"][0],
            "filename": name,
            "s3_url": url,
            "status": "s3_only",
            "md5_hash": None,
            "s3": None,
        }
        document["training_data"].append(row)
    anna.write_manifest("0000", document)
    with running(anna.library()) as api:
        for name in urls:
            for what in ("content", "content?side=s3", "content?direct=false", "thumbnail", "thumbnail?side=s3"):
                answer = api.get(f"/api/actors/{ANNA}/training-data/{name}/{what}")
                assert answer.status in (403, 404, 409, 502), (name, what, answer.status, answer.data)
                assert "Location" not in answer.headers
    assert came == []


def test_no_secret_reaches_a_log_an_error_or_a_repr(anna: Tree, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with running(anna.library(), token=TOKEN, access_log=True) as api:
        _, answer = raw(api, f"/login?token={TOKEN}")
        match = re.search(rb"(callsheet_\d+)=([0-9a-f]{64})", answer)
        assert match
        cookie = match[2].decode()
        more = f"Cookie: {match[0].decode()}\r\nAuthorization: Bearer {TOKEN}\r\n"
        for path in ("/api/actors", "/api/actors/9/training-data", "/nowhere", f"/login?token={TOKEN}x"):
            _, answer = raw(api, f"{path}?token={TOKEN}", more=more)
            assert TOKEN.encode() not in answer
            assert cookie.encode() not in answer
        assert "/api/actors 200" in caplog.text
        told = caplog.text + repr(api.service.options) + repr(Access(token=TOKEN))
    assert TOKEN not in told
    assert cookie not in told


def test_the_command_line_tells_no_token(anna: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "--root",
                str(anna.root),
                "--remote",
                f"file://{anna.root}",
                "serve",
                "--port",
                "0",
                "--token",
                "canary-short",
            ]
        )
    assert ended.value.code == 2
    assert "canary" not in "".join(capsys.readouterr())
