"""What is done to selected images ends as it says, on both sides, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from screen import ANNA, APART, BOTH, EDITED, FAR, LOCAL, REPLACED, SYNCED, Ground, Screen, until


def _run(screen: Screen, verb: str, *filenames: str, title: str | None = None) -> None:
    screen.select(*filenames)
    screen.find(f"#picked [data-verb={verb}]").click()
    screen.confirm(title)


def _says(screen: Screen, **words: str) -> None:
    """Until the cards say so; names without their ending."""
    until(lambda: {name: screen.statuses().get(f"{name}.png") for name in words} == words)


def _undo(screen: Screen) -> None:
    screen.find(".job .act:visible").click()
    screen.page.wait_for_selector(".job .title:has-text('Took back')")


def test_push_uploads_what_is_only_here_and_undo_takes_it_back(screen: Screen, ground: Ground) -> None:
    screen.open()
    before = ground.there()
    _run(screen, "push", LOCAL[0], LOCAL[1], title="Push 2 images")
    assert ground.there() == before | {LOCAL[0], LOCAL[1]}
    assert ground.bytes_there(LOCAL[0]) == ground.bytes_here(LOCAL[0])
    _says(screen, mine_6="Synced", mine_7="Synced", mine_8="Local-only")
    assert screen.find(".job .title").inner_text() == "Pushed 2 images"
    _undo(screen)
    assert ground.there() == before
    _says(screen, mine_6="Local-only", mine_7="Local-only")


def test_pull_downloads_what_is_only_in_s3(screen: Screen, ground: Ground) -> None:
    screen.open()
    before = ground.here()
    _run(screen, "pull", *FAR, title="Pull 2 images")
    assert ground.here() == before | {*FAR}
    assert ground.bytes_here(FAR[0]) == ground.bytes_there(FAR[0])
    _says(screen, theirs_9="Synced", theirs_10="Synced")


def test_repair_mends_what_differs_and_refuses_what_nobody_can_know(screen: Screen, ground: Ground) -> None:
    screen.open()
    mine, theirs = ground.bytes_here(EDITED), ground.bytes_there(REPLACED)
    screen.select(*APART)
    screen.find("#picked [data-verb=repair]").click()
    screen.page.wait_for_selector("#plan[open]")
    refused = screen.find("#plan .refusals li").inner_text()
    assert BOTH in refused
    assert "--prefer" not in refused
    assert screen.find("#plan .refusals a").get_attribute("href") == f"/actors/{ANNA}?image={BOTH}"
    screen.confirm("Repair 2 images")
    assert ground.bytes_there(EDITED) == mine
    assert ground.bytes_here(REPLACED) == theirs
    _says(screen, edited_11="Synced", replaced_12="Synced", both_13="Out-of-sync")
    _undo(screen)
    _says(screen, edited_11="Out-of-sync", replaced_12="Out-of-sync")
    assert ground.bytes_there(EDITED) != mine


def test_evict_frees_the_disk_of_what_s3_holds(screen: Screen, ground: Ground) -> None:
    screen.open()
    _run(screen, "evict", SYNCED[0], SYNCED[1], title="Evict 2 images")
    assert not {SYNCED[0], SYNCED[1]} & ground.here()
    assert {SYNCED[0], SYNCED[1]} <= ground.there()
    _says(screen, same_0="S3-only", same_1="S3-only")
    _undo(screen)
    assert {SYNCED[0], SYNCED[1]} <= ground.here()


def test_remove_takes_from_both_sides_and_undo_brings_back(screen: Screen, ground: Ground) -> None:
    screen.open()
    content = ground.bytes_here(SYNCED[3])
    screen.focus(SYNCED[3])
    screen.press("Delete")
    screen.confirm("Remove 1 image")
    assert screen.find(".job .title").inner_text() == "Removed 1 image"
    assert screen.find(".job .outcomes li").count() == 1
    assert SYNCED[3] not in ground.here() | ground.there()
    screen.wait(f"!document.querySelector('#images [data-key=\"{SYNCED[3]}\"]')")
    assert screen.find(f'#missing [data-key="{SYNCED[3]}"]').count() == 1
    screen.press("Control+z")
    until(lambda: SYNCED[3] in ground.here() & ground.there())
    assert ground.bytes_here(SYNCED[3]) == ground.bytes_there(SYNCED[3]) == content
    _says(screen, same_3="Synced")


def test_a_plan_that_is_not_wanted_moves_nothing(screen: Screen, ground: Ground) -> None:
    screen.open()
    before = ground.here(), ground.there()
    for button in (None, "#plan .no", "#plan [data-close]:visible >> nth=0"):
        screen.focus(LOCAL[0])
        screen.press("u")
        screen.page.wait_for_selector("#plan[open]")
        if button is None:
            screen.press("Escape")
        else:
            screen.find(button).click()
        screen.wait("!document.querySelector('#plan').open")
    assert (ground.here(), ground.there()) == before


def test_a_plan_without_anything_to_do_says_so(screen: Screen) -> None:
    screen.open()
    screen.focus(SYNCED[0])
    screen.press("u")
    screen.page.wait_for_selector("#plan[open]")
    assert screen.find("#plan-title").inner_text() == "Nothing to push"
    assert not screen.find("#plan .yes").is_visible()


def test_a_double_click_plans_once_and_two_plans_are_shown_in_turn(screen: Screen, ground: Ground) -> None:
    screen.open()
    asked: list[str | None] = []
    screen.page.on("request", lambda sent: asked.append(sent.post_data) if sent.method == "POST" else None)
    screen.find(".head [data-verb=push]").dblclick()
    screen.page.wait_for_selector("#plan[open]")
    screen.evaluate("document.querySelector('.head [data-verb=pull]').click()")
    screen.confirm("Push 4 images")
    assert len(asked) == 3, asked
    screen.confirm("Pull 2 images")
    until(lambda: {*FAR} <= ground.here())
    assert {*LOCAL} <= ground.there()


def test_what_changed_after_the_plan_is_left_and_told(screen: Screen, ground: Ground) -> None:
    screen.open()
    screen.select(LOCAL[0], LOCAL[1])
    screen.press("u")
    screen.page.wait_for_selector("#plan[open]")
    ground.tree.object(ANNA, LOCAL[0], b"somebody else's")
    screen.confirm()
    assert screen.find(".job .title").inner_text() == "Pushed 1 image, 1 failed"
    assert LOCAL[0] in screen.find(".job .outcomes li").first.inner_text()
    assert ground.bytes_there(LOCAL[0]) == b"somebody else's"


@pytest.mark.parametrize(
    "mark",
    [
        lambda screen: screen.find("#picked [data-mark=good]").click(),
        lambda screen: screen.press("g"),
    ],
    ids=["button", "key"],
)
def test_marks_are_shown_at_once_kept_and_taken_back(
    screen: Screen, ground: Ground, mark: Callable[[Screen], None]
) -> None:
    screen.open()
    screen.select(SYNCED[0], LOCAL[0], FAR[0])
    mark(screen)
    assert screen.find("#images .card.good").count() == 4
    until(lambda: ground.good() == {SYNCED[0], SYNCED[1], LOCAL[0], FAR[0]})
    screen.page.wait_for_selector(".toast")
    assert "3 images marked good" in screen.toast()
    screen.find(".toast .act").click()
    until(lambda: ground.good() == {SYNCED[1]})
    screen.wait("document.querySelectorAll('#images .card.good').length === 1")


def test_marks_that_cannot_be_kept_are_taken_back_and_told(screen: Screen, ground: Ground) -> None:
    screen.open()
    screen.page.route(
        "**/training-data", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_()
    )
    screen.card(SYNCED[0]).locator(".star").click()
    screen.page.wait_for_selector(".toast.bad")
    assert "server" in screen.toast()
    assert screen.find("#images .card.good").count() == 1
    assert ground.good() == {SYNCED[1]}
    screen.told.clear()  # the browser says that the request failed


def test_the_filter_by_mark_and_not_good(screen: Screen, ground: Ground) -> None:
    screen.open()
    screen.find("#good").click()
    assert screen.shown() == [SYNCED[1]]
    screen.press("Control+a")
    screen.find("#picked [data-mark=bad]").click()
    until(lambda: ground.good() == set())
    screen.page.wait_for_selector("#empty:visible")


def test_a_job_can_be_cancelled(screen: Screen, ground: Ground) -> None:
    screen.open()
    turn = screen.api.service.jobs.turns.join(frozenset({ANNA}))  # a job before it, which does not end
    assert screen.api.service.jobs.turns.begin(turn)
    screen.find(".head [data-verb=push]").click()
    screen.page.wait_for_selector(".job .told:has-text('waiting')")
    screen.find(".job .act").click()
    screen.wait("!document.querySelector('.job')")
    screen.api.service.jobs.turns.leave(turn)
    assert ground.there().isdisjoint(LOCAL)


def test_a_job_that_runs_already_is_shown_with_its_end_and_its_undo(screen: Screen, ground: Ground) -> None:
    turn = screen.api.service.jobs.turns.join(frozenset({ANNA}))
    assert screen.api.service.jobs.turns.begin(turn)
    screen.api.send("POST", "/api/jobs", body={"verb": "pull", "actors": [ANNA]})
    screen.open()
    screen.page.wait_for_selector(".job .told:has-text('waiting')")
    screen.page.reload()
    screen.page.wait_for_selector(".job .told:has-text('waiting')")
    assert screen.find(".job").count() == 1
    screen.api.service.jobs.turns.leave(turn)
    screen.page.wait_for_selector(".job .title:has-text('Pulled 2 images')")
    _undo(screen)
    until(lambda: ground.here().isdisjoint(FAR))


def test_syncing_records_an_orphaned_file(screen: Screen) -> None:
    screen.open()
    screen.find("#orphaned [data-verb=sync]").click()
    screen.confirm("Sync 1 actor")
    _says(screen, new_15="Local-only")
    screen.wait("document.querySelector('#orphaned').hidden")
