"""A bucket that is not there, closed, elsewhere, silent or breaks off: what was not seen stays as it is recorded."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from callsheet.errors import AccessDenied, NoSuchBucket, RemoteError, Unreachable
from callsheet.model import Location, RemoteObject
from callsheet.remote import session
from callsheet.remote.breaker import Breaker
from callsheet.remote.directory import DirectoryRemote
from callsheet.remote.memory import MemoryRemote
from callsheet.remote.s3 import S3Remote
from callsheet.report import Report
from command import Ran, interrupt, run
from factory import USER_BUCKET, Tree, md5_of
from faults import FaultServer, Reply, Seen, black_hole, fault_server
from servers import REGION, Server, free_port, ministack

BUCKET = "story-boards-assets"
PREFIX = "system_actors/training_data/"
ACTORS = ("0001_anna", "0002_bert", "0003_cora")
WITHIN_S = 5.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[Server]:
    with ministack() as server:
        server.make_bucket(BUCKET)
        server.make_bucket(USER_BUCKET)
        yield server


@pytest.fixture(autouse=True)
def _aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in Server("http://127.0.0.1:1").env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(session, "pause", lambda seconds: None)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def synced(tree: Tree) -> Tree:
    """Three actors, each with an image on both sides, one here and one there, all of it recorded."""
    for actor in ACTORS:
        tree.both(actor, "both.png")
        tree.image(actor, "here.png")
        tree.object(actor, "there.png")
    tree.library().sync()
    assert set(statuses(tree)) == {"both.png synced", "here.png local_only", "there.png s3_only"}
    return tree


def statuses(tree: Tree, *actors: str) -> list[str]:
    return [
        f"{name} {status}" for actor in actors or ACTORS for name, status in tree.statuses(actor.split("_")[0]).items()
    ]


def env_of(endpoint: str, more: Mapping[str, str] = {}) -> dict[str, str]:
    return {**Server(endpoint).env, "NO_PROXY": "127.0.0.1", **more}


def over_http(tree: Tree, endpoint: str) -> Report:
    return Tree(tree.root, remote=S3Remote(REGION, endpoint_url=endpoint)).library().sync()


def refusal(status: int, code: str, more: str = "", **headers: str) -> Reply:
    body = f"<Error><Code>{code}</Code>{more}</Error>".encode() if code else b""
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def page(objects: Mapping[str, bytes], *, token: str = "") -> Reply:
    """One page of a listing; more follow if there is a token."""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><ETag>&quot;{md5_of(body)}&quot;</ETag>"
        "<LastModified>2025-03-01T10:00:00.000Z</LastModified></Contents>"
        for key, body in sorted(objects.items())
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    body = f"<ListBucketResult><IsTruncated>{str(bool(token)).lower()}</IsTruncated>{more}{contents}</ListBucketResult>"
    return Reply(200, body.encode())


def query(seen: Seen) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(seen.target).query).items()}


def path(seen: Seen) -> str:
    return unquote(urlsplit(seen.target).path)


def nothing_changed(tree: Tree, manifests: dict[str, tuple[bytes, int]]) -> None:
    assert tree.manifests() == manifests


# --- The default bucket --------------------------------------------------------------------------------------------------------

REFUSALS: dict[str, tuple[Reply, str, str]] = {
    "no such bucket": (refusal(404, "NoSuchBucket"), "no_such_bucket", "Check the bucket's name"),
    "no access": (refusal(403, "AccessDenied"), "access_denied", "s3:ListBucket"),
    "no access and no word": (refusal(403, ""), "access_denied", "s3:ListBucket"),
    "unknown key": (refusal(403, "InvalidAccessKeyId"), "access_denied", "AWS_ACCESS_KEY_ID"),
    "wrong secret": (refusal(403, "SignatureDoesNotMatch"), "access_denied", "AWS_SECRET_ACCESS_KEY"),
    "wrong clock": (refusal(403, "RequestTimeTooSkewed"), "access_denied", "clock"),
    "expired": (refusal(400, "ExpiredToken"), "no_credentials", "Log in again"),
    "failing": (refusal(500, "InternalError"), "unreachable", "Repeat later"),
    "hanging up": (Reply(hang_up=True), "unreachable", "AWS_ENDPOINT_URL_S3"),
    "a web site": (Reply(200, b"<html><body>Welcome to the hotel"), "broken_listing", ""),
    "an empty answer": (Reply(200, b""), "broken_listing", ""),
    "a moved web site": (Reply(302, b"", {"Location": "http://127.0.0.1:1/login"}), "remote", "AWS_ENDPOINT_URL_S3"),
    "an old server": (refusal(501, "NotImplemented"), "remote", ""),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bucket_that_refuses_leaves_all_that_is_recorded(synced: Tree, server: FaultServer, case: str) -> None:
    reply, code, hint = REFUSALS[case]
    server.rule = lambda seen: reply
    manifests = synced.manifests()
    for _ in range(2):
        report = over_http(synced, server.endpoint)
        whose = "" if code == "no_credentials" or case == "hanging up" else f"s3://{BUCKET}"
        assert [(problem.actor, problem.filename, problem.code) for problem in report.problems] == [("", whose, code)]
        message = report.problems[0].message
        assert f"s3://{BUCKET}/" in message
        assert hint in message
        assert "keep the status that is recorded" in message
        nothing_changed(synced, manifests)
        assert len(report.actors) == 3


@pytest.mark.parametrize("case", ["no such bucket", "no access", "hanging up"])
def test_local_changes_are_recorded_while_the_bucket_refuses(synced: Tree, server: FaultServer, case: str) -> None:
    server.rule = lambda seen: REFUSALS[case][0]
    synced.image(ACTORS[0], "new.png")
    synced.image("0004_dora", "a.png")
    synced.response("0004_dora", [synced.object("0004_dora", "far.png")])
    (synced.folder(ACTORS[1]) / "here.png").unlink()
    (synced.folder(ACTORS[2]) / "both.png").unlink()
    report = over_http(synced, server.endpoint)
    assert len(report.problems) == 1
    assert synced.statuses("0001")["new.png"] == "local_only"
    assert synced.statuses("0004") == {"a.png": "local_only", "far.png": "s3_only"}
    assert synced.statuses("0003")["both.png"] == "s3_only"
    assert [row["filename"] for row in synced.read_manifest("0002")["training_data_missing"]] == ["here.png"]
    evidence = {row["filename"]: row["evidence"] for row in synced.read_manifest("0004")["training_data"]}
    assert set(evidence.values()) == {"recorded"}


@pytest.mark.parametrize("case", ["no such bucket", "no access", "failing", "a web site"])
def test_named_actors_are_told_once_that_the_bucket_refuses(synced: Tree, server: FaultServer, case: str) -> None:
    reply, code, _ = REFUSALS[case]
    server.rule = lambda seen: reply
    manifests = synced.manifests()
    library = Tree(synced.root, remote=S3Remote(REGION, endpoint_url=server.endpoint)).library()
    report = library.sync(("1", "0002", ACTORS[2]))
    assert [(problem.actor, problem.code) for problem in report.problems] == [("", code)]
    nothing_changed(synced, manifests)


def test_the_region_that_a_bucket_says_it_is_in_is_followed(synced: Tree, server: FaultServer) -> None:
    objects = {PREFIX + f"{actor}/{name}": name.encode() for actor in ACTORS for name in ("both.png", "there.png")}

    def rule(seen: Seen) -> Reply:
        if "/eu-west-3/s3/" in seen.headers["Authorization"]:
            return page(objects)
        return refusal(301, "PermanentRedirect", x_amz_bucket_region="eu-west-3")

    server.rule = rule
    report = over_http(synced, server.endpoint)
    assert report.problems == ()
    assert set(statuses(synced)) == {"both.png synced", "here.png local_only", "there.png s3_only"}


def test_a_region_that_leads_in_circles_is_told(synced: Tree, server: FaultServer) -> None:
    manifests = synced.manifests()
    server.rule = lambda seen: refusal(301, "PermanentRedirect", x_amz_bucket_region=f"eu-west-{len(server.seen)}")
    report = over_http(synced, server.endpoint)
    assert [problem.code for problem in report.problems] == ["remote"]
    assert "region" in report.problems[0].message
    nothing_changed(synced, manifests)


# --- One line within seconds -----------------------------------------------------------------------------------------------------


def told_at_once(ran: Ran, *words: str, start_s: float = 0.0) -> None:
    """`start_s` is how long the same command takes on this machine, at this moment, where it has nothing to wait for."""
    assert ran.code == 1
    assert len(ran.told) == 1, ran.err
    assert all(word in ran.told[0] for word in words), ran.told
    assert ran.seconds < WITHIN_S + start_s


def with_urls_elsewhere(tree: Tree) -> None:
    """Legacy URLs into another bucket and another folder: they must not make more words of one dead endpoint."""
    for number, actor in enumerate(ACTORS):
        tree.legacy(actor, "training_response.json", {"s3_image_urls": [
            f"s3://{USER_BUCKET}/{number}/{actor}/training_data/far.png", f"s3://{BUCKET}/old/{actor}/old.png"
        ]})  # fmt: skip
    tree.library().sync(offline=True)


def dead_endpoints() -> Iterator[str]:
    """One that refuses connections, and one that takes them and never says a word."""
    yield f"http://127.0.0.1:{free_port()}"
    with black_hole() as endpoint:
        yield endpoint


@pytest.mark.parametrize("verb", [("sync",), ("sync", "0001", "0002")])
def test_a_dead_endpoint_is_told_in_one_line_within_seconds(synced: Tree, verb: tuple[str, ...]) -> None:
    manifests = synced.manifests()
    start_s = 0.0
    for endpoint in dead_endpoints():
        ran = run(synced.root, *verb, env=env_of(endpoint))
        told_at_once(ran, endpoint.removeprefix("http://"), "AWS_ENDPOINT_URL_S3", start_s=start_s)
        start_s = ran.seconds
        nothing_changed(synced, manifests)


def test_a_dead_endpoint_is_told_in_one_line_however_many_buckets_are_behind_it(synced: Tree) -> None:
    with_urls_elsewhere(synced)
    manifests = synced.manifests()
    start_s = 0.0
    for endpoint in dead_endpoints():
        ran = run(synced.root, "sync", env=env_of(endpoint))
        told_at_once(ran, endpoint.removeprefix("http://"), start_s=start_s)
        start_s = ran.seconds
        nothing_changed(synced, manifests)


NO_KEYS = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


def test_no_credentials_are_told_in_one_line_within_seconds(synced: Tree) -> None:
    with_urls_elsewhere(synced)
    manifests = synced.manifests()
    with black_hole() as silent:  # where the machine's own credentials would be asked for
        env = env_of(silent, {**NO_KEYS, "AWS_EC2_METADATA_DISABLED": "false"})
        env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = silent
        ran = run(synced.root, "sync", env=env)
        told_at_once(ran, "No AWS credentials were found", "aws sso login")
        nothing_changed(synced, manifests)
        document = run(synced.root, "sync", "--json", env=env)
    assert [problem["code"] for problem in document.problems] == ["no_credentials"]
    assert document.document["images"] == 15


def test_no_credentials_are_no_trouble_offline(synced: Tree) -> None:
    manifests = synced.manifests()
    ran = run(synced.root, "sync", "--offline", env=env_of("http://127.0.0.1:1", NO_KEYS))
    assert (ran.code, ran.told) == (0, [])
    nothing_changed(synced, manifests)


BROKEN_AWS: dict[str, dict[str, str]] = {
    "no such profile": {"AWS_PROFILE": "nobody"},
    "endpoint is no URL": {"AWS_ENDPOINT_URL_S3": "minio:9000"},
    "endpoint has a query": {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000/?x=1"},
    "endpoint has no port": {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:port"},
    "key has a line break": {"AWS_ACCESS_KEY_ID": "AKIA\nX: y"},
    "no such certificates": {"AWS_CA_BUNDLE": "/nowhere/ca.pem"},
}


@pytest.mark.parametrize("case", BROKEN_AWS)
def test_a_broken_aws_configuration_is_told_in_one_line_and_the_disk_is_still_recorded(tree: Tree, case: str) -> None:
    for actor in ACTORS:
        tree.image(actor, "here.png")
    with fault_server() as server:
        ran = run(tree.root, "sync", env=env_of(server.endpoint, BROKEN_AWS[case]))
    told_at_once(ran)
    assert "AWS_" in ran.told[0] or "credentials" in ran.told[0]
    assert statuses(tree) == ["here.png local_only"] * 3


@pytest.mark.parametrize("case", BROKEN_AWS)
def test_a_broken_aws_configuration_is_no_trouble_offline(synced: Tree, case: str) -> None:
    manifests = synced.manifests()
    synced.image(ACTORS[0], "new.png")
    ran = run(synced.root, "sync", "--offline", env=env_of("http://127.0.0.1:1", BROKEN_AWS[case]))
    assert (ran.code, ran.told) == (0, [])
    assert synced.statuses("0001")["new.png"] == "local_only"
    manifests.pop("0001_manifest.json")
    assert manifests.items() < synced.manifests().items()


@pytest.mark.parametrize("case", [case for case, (_, _, hint) in REFUSALS.items() if hint])
def test_a_problem_reads_as_sentences(synced: Tree, server: FaultServer, case: str) -> None:
    server.rule = lambda seen: REFUSALS[case][0]
    with pytest.raises(RemoteError) as caught:
        list(S3Remote(REGION, endpoint_url=server.endpoint).list(BUCKET, PREFIX))
    message = over_http(synced, server.endpoint).problems[0].message
    assert f"{caught.value}. {caught.value.hint}. " in message


# --- A listing that breaks off ------------------------------------------------------------------------------------------------

FIRST_PAGE = {
    PREFIX + f"{actor}/{name}": name.encode()
    for actor, name in (
        (ACTORS[0], "both.png"),
        (ACTORS[0], "here.png"),
        (ACTORS[1], "aaa.png"),
        (ACTORS[1], "both.png"),
    )
}
BREAKS: dict[str, Reply] = {
    "failing": refusal(500, "InternalError"),
    "forbidden": refusal(403, "AccessDenied"),
    "expired": refusal(400, "ExpiredToken"),
    "hanging up": Reply(hang_up=True),
    "cut off": Reply(200, b"<ListBucketResult>" + b" " * 1000, cut_at=100),
    "half a document": Reply(200, b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"),
    "a web site": Reply(200, b"<html><body>proxy error</body></html>"),
    "the first page again": page(FIRST_PAGE, token="two"),
    "the bucket is gone": refusal(404, "NoSuchBucket"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_listing_that_breaks_on_page_two_is_true_before_the_break_and_unknown_after(
    synced: Tree, server: FaultServer, case: str
) -> None:
    server.rule = lambda seen: BREAKS[case] if "continuation-token" in query(seen) else page(FIRST_PAGE, token="two")
    before = synced.manifests()
    report = over_http(synced, server.endpoint)
    assert len(report.problems) == 1
    assert "keep the status that is recorded" in report.problems[0].message
    # Before the break: what is listed is there, and what is not is not.
    assert synced.statuses("0001") == {"both.png": "synced", "here.png": "synced"}
    assert [row["filename"] for row in synced.read_manifest("0001")["training_data_missing"]] == ["there.png"]
    # In it: what is listed is there; the rest stays.
    assert synced.statuses("0002") == {
        "aaa.png": "s3_only",
        "both.png": "synced",
        "here.png": "local_only",
        "there.png": "s3_only",
    }
    # After it: nothing was seen.
    assert synced.manifests()["0003_manifest.json"] == before["0003_manifest.json"]
    for stem in ("0002", "0003"):
        assert "training_data_missing" not in synced.read_manifest(stem)
    manifests = synced.manifests()
    over_http(synced, server.endpoint)
    nothing_changed(synced, manifests)


class Breaking(MemoryRemote):
    """A store whose listings break off after some objects."""

    after = 0

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        for number, item in enumerate(super().list(bucket, prefix, after=after, before=before)):
            if number == self.after:
                raise Unreachable("Cannot list: the connection broke", hint="Repeat later")
            yield item


@pytest.mark.parametrize("after", range(6))
def test_wherever_a_listing_breaks_nothing_becomes_local_only_or_missing(tree: Tree, after: int) -> None:
    tree.remote = Breaking((BUCKET, USER_BUCKET))
    tree.remote.after = 1000
    for actor in ACTORS:
        tree.both(actor, "both.png")
        tree.object(actor, "there.png")
    tree.library().sync()
    manifests = tree.manifests()
    tree.remote.after = after
    report = tree.library().sync()
    assert [problem.code for problem in report.problems] == ["unreachable"]
    nothing_changed(tree, manifests)


def test_a_break_is_no_mass_loss(tree: Tree) -> None:
    tree.remote = Breaking((BUCKET, USER_BUCKET))
    tree.remote.after = 1000
    for number in range(30):
        tree.both(ACTORS[number % 3], f"{number}.png")
    tree.library().sync()
    tree.remote.after = 0
    assert [problem.code for problem in tree.library().sync().problems] == ["unreachable"]


def test_a_failure_that_every_actor_meets_is_not_held_once_for_each() -> None:
    remote = Breaking([BUCKET])
    remote.put(Location(BUCKET, "a.png"), b"a", md5=md5_of(b"a"))
    breaker = Breaker(remote)
    depths = set()
    for _ in range(20):
        with pytest.raises(Unreachable) as caught:
            list(breaker.list(BUCKET, ""))
        depths.add(len(caught.traceback))
    assert max(depths) < 10


# --- Other buckets -------------------------------------------------------------------------------------------------------------


def far(actor: str, name: str, folder: str = "0a1b") -> Location:
    return Location(USER_BUCKET, f"{folder}/custom_actor/{actor}/training_data/{name}")


def far_url(actor: str, name: str) -> str:
    where = far(actor, name)
    return f"https://{where.bucket}.s3.us-west-1.amazonaws.com/{where.key}"


def with_user_bucket(tree: Tree) -> None:
    """Each actor has a URL of an image that is in the users' bucket, and one of an image that is not; unseen so far."""
    for actor in ACTORS:
        tree.response(actor, [far_url(actor, "kept.png"), far_url(actor, "gone.png")])
        tree.image(actor, "gone.png")
    tree.library().sync(offline=True)
    assert set(statuses(tree)) == {"gone.png synced", "kept.png s3_only"}


class Watched(MemoryRemote):
    """Notes what it is asked; `refused` buckets cannot be listed, and `closed` ones not be looked at either."""

    def __init__(self) -> None:
        super().__init__((BUCKET, USER_BUCKET))
        self.asked: list[str] = []
        self.refused: dict[str, RemoteError] = {}
        self.closed = False

    def list(self, bucket: str, prefix: str, *, after: str = "", before: str = "") -> Iterator[RemoteObject]:
        self.asked.append(f"list {bucket}")
        if bucket in self.refused:
            raise self.refused[bucket]
        yield from super().list(bucket, prefix, after=after, before=before)

    def head(self, location: Location) -> RemoteObject:
        self.asked.append(f"head {location.bucket}")
        if self.closed:
            raise AccessDenied("Cannot look at it: access denied", hint="Ask for s3:GetObject")
        return super().head(location)


@pytest.fixture
def watched(tree: Tree) -> Watched:
    remote = tree.remote = Watched()
    with_user_bucket(tree)
    for actor in ACTORS:
        tree.object(actor, "kept.png", at=far(actor, "kept.png"))
    remote.asked.clear()
    return remote


def test_urls_into_another_bucket_are_looked_up_there(tree: Tree, watched: Watched) -> None:
    report = tree.library().sync()
    assert report.problems == ()
    assert set(statuses(tree)) == {"gone.png local_only", "kept.png s3_only"}
    for row in tree.read_manifest("0001")["training_data"]:
        assert row["evidence"] == "listed"
        assert far_url(ACTORS[0], row["filename"]) in [row["s3_url"], *row.get("alternate_s3_urls", ())]
    assert sorted(watched.asked) == [f"list {BUCKET}"] + [f"list {USER_BUCKET}"] * 3


def test_an_image_that_is_gone_from_another_bucket_is_missing_with_its_url(tree: Tree, watched: Watched) -> None:
    tree.library().sync()
    watched.delete(far(ACTORS[0], "kept.png"))
    assert tree.library().sync().problems == ()
    missing = tree.read_manifest("0001")["training_data_missing"]
    assert [(row["filename"], row["alternate_s3_urls"]) for row in missing] == [
        ("kept.png", [far_url(ACTORS[0], "kept.png")])
    ]


@pytest.mark.parametrize("error", [NoSuchBucket, Unreachable, RemoteError])
def test_another_bucket_that_fails_is_told_once_and_its_images_stay(
    tree: Tree, watched: Watched, error: type[RemoteError]
) -> None:
    manifests = tree.manifests()
    watched.refused[USER_BUCKET] = error(f"Cannot list s3://{USER_BUCKET}/", hint="Try again")
    report = tree.library().sync()
    assert [(problem.actor, problem.code) for problem in report.problems] == [("", error.code)]
    assert USER_BUCKET in report.problems[0].message
    assert "keep the status that is recorded" in report.problems[0].message
    nothing_changed(tree, manifests)


def test_where_only_listing_is_forbidden_each_image_is_looked_at(tree: Tree, watched: Watched) -> None:
    watched.refused[USER_BUCKET] = AccessDenied("Cannot list", hint="Ask for s3:ListBucket")
    report = tree.library().sync()
    assert report.problems == ()
    assert set(statuses(tree)) == {"gone.png local_only", "kept.png s3_only"}
    assert watched.asked.count(f"head {USER_BUCKET}") == 6


def test_where_everything_is_forbidden_all_stays_and_is_told_once(tree: Tree, watched: Watched) -> None:
    manifests = tree.manifests()
    watched.refused[USER_BUCKET] = AccessDenied("Cannot list", hint="Ask for s3:ListBucket")
    watched.closed = True
    report = tree.library().sync()
    assert [(problem.actor, problem.code) for problem in report.problems] == [("", "access_denied")]
    nothing_changed(tree, manifests)


def test_another_bucket_is_looked_up_over_http_as_its_owner_allows(
    tree: Tree, upstream: Server, request: pytest.FixtureRequest
) -> None:
    with_user_bucket(tree)
    manifests = tree.manifests()
    remote = S3Remote(REGION, endpoint_url=upstream.endpoint)
    for actor in ACTORS:
        remote.put(far(actor, "kept.png"), b"kept.png", md5=md5_of(b"kept.png"))
    answers: dict[str, Callable[[Seen], Reply | None]] = {
        "gone": lambda seen: refusal(404, "NoSuchBucket" if seen.method == "GET" else ""),
        "closed": lambda seen: refusal(403, "AccessDenied" if seen.method == "GET" else ""),
        "unlisted": lambda seen: refusal(403, "AccessDenied") if seen.method == "GET" else None,
    }
    codes = {"gone": ["no_such_bucket"], "closed": ["access_denied"], "unlisted": []}
    with fault_server(upstream.endpoint) as server:
        for case, answer in answers.items():
            server.rule = lambda seen, answer=answer: answer(seen) if path(seen).startswith(f"/{USER_BUCKET}") else None
            report = over_http(tree, server.endpoint)
            assert [problem.code for problem in report.problems] == codes[case], case
            if codes[case]:
                nothing_changed(tree, manifests)
        assert set(statuses(tree)) == {"gone.png local_only", "kept.png s3_only"}
        server.rule = None
        manifests = tree.manifests()
        assert over_http(tree, server.endpoint).problems == ()
        nothing_changed(tree, manifests)


def test_a_listing_of_another_bucket_that_breaks_off_is_true_before_the_break(tree: Tree, server: FaultServer) -> None:
    actor = ACTORS[0]
    names = ("a.png", "b.png", "c.png")
    tree.response(actor, [far_url(actor, name) for name in names])
    for name in names:
        tree.image(actor, name)
    tree.library().sync(offline=True)

    def rule(seen: Seen) -> Reply:
        if path(seen).startswith(f"/{BUCKET}"):
            return page({})
        if "continuation-token" in query(seen):
            return refusal(403, "AccessDenied") if query(seen)["continuation-token"] == "x" else Reply(hang_up=True)
        return page({far(actor, "b.png").key: b"other bytes"}, token="two")

    server.rule = rule
    report = over_http(tree, server.endpoint)
    assert [problem.code for problem in report.problems] == ["unreachable"]
    assert tree.statuses("0001") == {"a.png": "synced", "b.png": "out_of_sync", "c.png": "synced"}


def test_no_request_goes_to_a_host_that_a_url_names(tree: Tree) -> None:
    with socket.socket() as trap, fault_server() as server:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.setblocking(False)
        host = f"127.0.0.1:{trap.getsockname()[1]}"
        urls = [
            f"http://{host}/{BUCKET}/old/a.png",
            f"https://{host}/{BUCKET}/old/b.png",
            f"http://localhost:{host.partition(':')[2]}/{BUCKET}/old/c.png",
            far_url(ACTORS[0], "d.png"),
            f"https://s3.eu-west-1.amazonaws.com/{USER_BUCKET}/e.png",
            f"http://{USER_BUCKET}.s3-accelerate.amazonaws.com/f.png",
            f"s3://{USER_BUCKET}/g.png",
            f"http://{host}/not/ours/h.png",
            f"http://user:password@{host}/{BUCKET}/i.png",
        ]
        tree.response(ACTORS[0], urls)
        tree.image(ACTORS[0], "a.png")
        server.rule = lambda seen: page({})
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), f"http://{host}")
        env = env_of(server.endpoint, {**proxies, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"})
        ran = run(tree.root, "sync", "--accept-loss", env=env)
        assert (ran.code, len(ran.told)) == (1, 1)
        assert "2 of its URLs name no image in S3" in ran.told[0]
        assert {path(seen).split("/")[1] for seen in server.seen} == {BUCKET, USER_BUCKET}
        with pytest.raises(BlockingIOError):
            trap.accept()


# --- A folder as the bucket -------------------------------------------------------------------------------------------------------


def test_a_bucket_folder_that_is_not_mounted_is_no_empty_bucket(synced: Tree, tmp_path: Path) -> None:
    manifests = synced.manifests()
    url = f"file://{tmp_path}/buckets"
    for step in ("no folder", "no bucket", "a file"):
        if step != "no folder":
            (tmp_path / "buckets").mkdir(exist_ok=True)
        if step == "a file":
            (tmp_path / "buckets" / BUCKET).write_text("in the way")
        ran = run(synced.root, "--remote", url, "sync")
        told_at_once(ran, f"buckets/{BUCKET}", "Create it, or check the bucket's name")
        nothing_changed(synced, manifests)


def test_a_bucket_folder_that_may_not_be_read_is_no_empty_bucket(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "buckets" / BUCKET).mkdir(parents=True)
    tree.remote = DirectoryRemote(str(tmp_path / "buckets"), REGION)
    for actor in ACTORS:
        tree.both(actor, "both.png")
    tree.library().sync()
    manifests = tree.manifests()
    folder = tmp_path / "buckets" / BUCKET / PREFIX / ACTORS[1]
    folder.chmod(0)
    ran = run(tree.root, "--remote", f"file://{tmp_path}/buckets", "sync", privileged=False)
    folder.chmod(0o755)
    told_at_once(ran, "permission denied", "Check the rights")
    nothing_changed(tree, manifests)


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------------------


def interrupted(ran: Ran) -> None:
    assert ran.code == 130
    assert ran.err.strip() == "callsheet: interrupted; what was finished is recorded, the next run goes on from there"
    assert ran.seconds < WITHIN_S


def test_ctrl_c_while_a_bucket_is_slow_leaves_whole_manifests(tree: Tree, server: FaultServer) -> None:
    for actor in ACTORS:
        tree.both(actor, "both.png")
    objects = {PREFIX + f"{actor}/both.png": b"both.png" for actor in ACTORS}

    def rule(seen: Seen) -> Reply:
        whole = page(objects)
        if "continuation-token" in query(seen):
            return Reply(200, whole.body, stall_s=60)
        return page(dict(list(objects.items())[:2]), token="two")

    server.rule = rule
    first = tree.manifest_path("0001")
    ran = interrupt(
        tree.root, "sync", env=env_of(server.endpoint), when=lambda: first.exists() and len(server.seen) > 1
    )
    interrupted(ran)
    assert ran.out == ""
    assert tree.statuses("0001") == {"both.png": "synced"}
    assert [name for name in tree.manifests() if not name.endswith("_manifest.json")] == []
    for name in tree.manifests():
        tree.read_manifest(name.removesuffix("_manifest.json"))
    done = first.read_bytes()
    server.rule = lambda seen: page(objects)
    report = over_http(tree, server.endpoint)
    assert report.problems == ()
    assert statuses(tree) == ["both.png synced"] * 3
    assert first.read_bytes() == done


def test_ctrl_c_while_another_bucket_is_slow_does_not_wait_for_it(tree: Tree, server: FaultServer) -> None:
    with_user_bucket(tree)
    manifests = tree.manifests()
    slow: list[Seen] = []

    def rule(seen: Seen) -> Reply:
        if path(seen).startswith(f"/{BUCKET}"):
            return page({})
        slow.append(seen)
        return Reply(200, page({}).body, stall_s=60)

    server.rule = rule
    interrupted(interrupt(tree.root, "sync", env=env_of(server.endpoint), when=lambda: bool(slow)))
    nothing_changed(tree, manifests)


def test_ctrl_c_with_json_prints_no_half_document(tree: Tree, server: FaultServer) -> None:
    tree.image(ACTORS[0], "here.png")
    server.rule = lambda seen: Reply(stall_s=60)
    ran = interrupt(tree.root, "sync", "--json", env=env_of(server.endpoint), when=lambda: len(server.seen) > 0)
    interrupted(ran)
    assert ran.out == ""
