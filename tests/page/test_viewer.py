"""An image in full, two versions of it compared and settled, and triage."""

from __future__ import annotations

import re

import pytest

from screen import BOTH, EDITED, FAR, IMAGES, LOCAL, REPLACED, SYNCED, Ground, Screen, until


def _open(screen: Screen, filename: str) -> Screen:
    screen.open(f"/actors/0000_anna?image={filename}")
    assert screen.viewed() == filename
    screen.wait("[...document.querySelectorAll('#viewer .pane img')].every((image) => image.naturalWidth > 0)")
    return screen


def _scale(screen: Screen) -> float:
    return float(screen.evaluate("document.querySelector('#viewer .view').style.getPropertyValue('--scale')"))


@pytest.mark.parametrize("filename", [SYNCED[0], LOCAL[0], FAR[0]])
def test_an_image_is_shown_in_full_on_whichever_side_it_is(look: Screen, filename: str) -> None:
    _open(look, filename)
    assert look.find("#viewer .pane img").count() == 1


def test_zoom_and_pan_by_keys_wheel_double_click_and_drag(look: Screen) -> None:
    _open(look, SYNCED[0])
    look.press("+", "+")
    assert _scale(look) == pytest.approx(1.96)
    look.press("-")
    assert _scale(look) == pytest.approx(1.4)
    look.press("0")
    assert _scale(look) == 1
    look.page.mouse.move(500, 400)
    look.page.mouse.wheel(0, -400)
    look.wait("document.querySelector('#viewer .view').style.getPropertyValue('--scale') > 1.5")
    before = look.evaluate("document.querySelector('#viewer .view').style.getPropertyValue('--x')")
    look.page.mouse.down()
    look.page.mouse.move(460, 380)
    look.page.mouse.up()
    assert look.evaluate("document.querySelector('#viewer .view').style.getPropertyValue('--x')") != before
    look.page.mouse.dblclick(500, 400)
    assert _scale(look) == 1
    look.page.mouse.dblclick(500, 400)
    assert _scale(look) >= 2


def test_home_and_end_lead_to_the_first_and_last_that_are_shown(look: Screen) -> None:
    look.open(f"/actors/0000_anna?status=local_only&image={SYNCED[0]}")
    assert look.viewed() == SYNCED[0]
    look.press("Home")
    assert look.viewed() == LOCAL[0]
    look.press("End")
    assert look.viewed() == LOCAL[-1]


def test_single_pixels_are_seen_as_such_when_they_are_large(look: Screen) -> None:
    _open(look, SYNCED[0])
    rendering = "getComputedStyle(document.querySelector('#viewer .pane img')).imageRendering"
    assert look.evaluate(rendering) == "auto"
    look.press(*["+"] * 5)
    assert look.evaluate(rendering) == "pixelated"


def test_a_picture_that_is_on_its_way_is_seen_small_meanwhile(look: Screen) -> None:
    look.page.route("**/content?*", lambda _: None)  # never answered
    look.open()
    look.focus(SYNCED[0])
    look.press("Enter")
    look.wait("document.querySelector('#viewer .pane .soft').naturalWidth > 0")
    look.page.unroute_all()
    look.press("ArrowRight")
    look.wait("document.querySelector('#viewer .pane img').naturalWidth > 0")
    look.wait("!document.querySelector('#viewer .soft')")


def test_the_panel_tells_both_sides_and_the_raw_entry(look: Screen) -> None:
    _open(look, BOTH)
    told = look.find(".panel").inner_text()
    for part in (
        "It changed on both sides",
        "/data/actors/0000_anna/training_data/both_13.png",
        "s3://",
        "MD5",
        "ETag",
        "Known by",
        "Since",
    ):
        assert part in told, part
    look.find(".panel summary").click()
    look.wait("document.querySelector('.panel pre').textContent.includes('\"synced_md5\"')")
    look.press("i")
    assert not look.find(".panel").is_visible()


def test_versions_that_differ_are_shown_side_by_side(look: Screen) -> None:
    _open(look, BOTH)
    first, second = look.find("#viewer .pane img").all()
    one, other = (picture.evaluate("(image) => image.src") for picture in (first, second))
    assert ("side=local" in one, "side=s3" in other) == (True, True)
    assert look.find("#viewer figcaption").all_inner_texts()[1].startswith("S3")


def test_flicker_shows_one_and_the_other_in_one_place(look: Screen) -> None:
    _open(look, BOTH)
    look.find("[data-mode=flicker]").click()
    front = "document.querySelector('#viewer .pane img:not(.behind)').src.includes('side=s3')"
    assert not look.evaluate(front)
    look.find("#viewer .stage").focus()
    look.page.keyboard.down(" ")
    assert look.evaluate(front)
    look.page.keyboard.up(" ")
    assert not look.evaluate(front)
    look.page.emulate_media(reduced_motion="no-preference")
    look.press("c", "c", "c")
    look.wait(front)
    look.wait(f"!{front}")


def test_the_difference_is_drawn_and_measured(look: Screen) -> None:
    _open(look, BOTH)
    look.find("[data-mode=difference]").click()
    look.wait("document.querySelector('#viewer figcaption').textContent.includes('of the pixels differ')")
    share = re.search(r"([\d.]+) %", look.find("#viewer figcaption").inner_text())
    assert share is not None
    assert 0 < float(share[1]) <= 100
    drawn = "new Set(document.querySelector('#viewer canvas').getContext('2d').getImageData(0, 0, 96, 96).data).size"
    assert look.evaluate(drawn) > 2


@pytest.mark.parametrize("side", ["local", "s3"])
def test_what_differs_is_settled_and_that_is_taken_back(screen: Screen, ground: Ground, side: str) -> None:
    here, there = ground.sides(BOTH)
    _open(screen, BOTH)
    screen.find(f"[data-prefer={side}]").click()
    screen.confirm("Repair 1 image")
    wins = here if side == "local" else there
    assert ground.sides(BOTH) == (wins, wins)
    screen.wait("document.querySelector('#viewer .settle').hidden")
    assert screen.find("#viewer header .word").inner_text() == "Synced"
    screen.press("Control+z")
    until(lambda: ground.sides(BOTH) == (here, there))
    screen.wait("!document.querySelector('#viewer .settle').hidden")


def test_what_is_marked_in_the_viewer_is_marked(screen: Screen, ground: Ground) -> None:
    _open(screen, SYNCED[0])
    screen.press("g")
    until(lambda: SYNCED[0] in ground.good())
    assert screen.find("#viewer [data-act=good]").get_attribute("aria-pressed") == "true"
    screen.press("Control+z")
    until(lambda: SYNCED[0] not in ground.good())


def test_a_picture_that_cannot_be_shown_says_so(screen: Screen, ground: Ground) -> None:
    (ground.tree.root / ground.tree.where.image("0000_anna", LOCAL[0])).write_bytes(b"no picture")
    screen.open(f"/actors/0000_anna?image={LOCAL[0]}")
    screen.page.wait_for_selector("#viewer .trouble:has-text('cannot be shown')")
    assert screen.find("#viewer .pane img").is_hidden(), "the browser's own sign of a broken image is not shown"
    screen.told.clear()  # the browser says that it could not load it


def test_triage_decides_by_single_keys_and_records_at_the_end(screen: Screen, ground: Ground) -> None:
    screen.open()
    screen.press("t")
    screen.page.wait_for_selector("#triage[open]")
    screen.press("g", "n", "s", "ArrowLeft", "g", "g")
    assert screen.find("#triage .place").inner_text() == "5 of 14"
    assert ground.good() == {SYNCED[1]}
    screen.press("Escape")
    order = screen.shown()
    assert screen.find("#triage .summary li b").all_inner_texts() == ["3", "1", "10"]
    decided = {order[0], order[2], order[3]}
    expected = (decided | {SYNCED[1]}) - {order[1]}
    screen.find("#triage [data-act=save]").click()
    until(lambda: ground.good() == expected)
    screen.wait("!document.querySelector('#triage').open")
    screen.press("Control+z")
    until(lambda: ground.good() == {SYNCED[1]})


def test_keys_that_follow_at_once_are_for_what_was_opened(look: Screen) -> None:
    look.open()
    look.evaluate(
        "for (const key of ['t', 'g', 'n', 'Escape']) document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
    )
    assert look.find("#triage .summary li b").all_inner_texts() == ["1", "1", str(len(IMAGES) - 2)]


def test_what_is_on_screen_can_be_opened_while_the_server_is_away(look: Screen) -> None:
    look.open()
    look.page.context.set_offline(True)
    look.focus(SYNCED[0])
    look.press("Enter")
    assert look.viewed() == SYNCED[0]
    look.press("Escape")
    look.press("t")
    look.page.wait_for_selector("#triage[open]")
    look.page.context.set_offline(False)
    look.told.clear()  # the browser says that requests failed


def test_triage_ends_with_its_last_image_and_can_go_on(look: Screen) -> None:
    look.open("/actors/0000_anna?status=local_only")
    look.find("#triage-button").click()
    look.page.wait_for_selector("#triage[open]")
    look.press("g", "s", "n")
    assert look.find("#triage h3").inner_text() == "1 mark would change"
    look.press("Escape")
    assert look.find("#triage .place").inner_text() == "3 of 3"
    look.press("Escape")
    look.find("#triage [data-act=discard]").click()
    look.wait("!document.querySelector('#triage').open")
    assert not look.find("#images .card.good").count()


def test_what_triage_could_not_record_is_kept_to_be_tried_again(screen: Screen, ground: Ground) -> None:
    screen.open()
    screen.page.route(
        "**/training-data", lambda route: route.abort() if route.request.method == "PATCH" else route.continue_()
    )
    screen.press("t", "g", "Escape", "Enter")
    screen.page.wait_for_selector("#triage .toast.bad")
    assert screen.find("#triage .summary h3").inner_text() == "1 mark would change"
    leaving = "(() => { const event = new Event('beforeunload', { cancelable: true }); dispatchEvent(event); return event.defaultPrevented; })()"
    assert screen.evaluate(leaving), "the browser asks before it leaves"
    screen.page.unroute_all()
    screen.press("Enter")
    screen.wait("!document.querySelector('#triage').open")
    assert ground.good() == {BOTH, SYNCED[1]}
    assert not screen.evaluate(leaving)
    screen.told.clear()  # the browser says that a request failed


def test_triage_takes_the_selection(look: Screen) -> None:
    look.open()
    look.select(LOCAL[0], EDITED)
    look.press("t")
    look.page.wait_for_selector("#triage[open]")
    assert look.find("#triage .place").inner_text() == "1 of 2"


def test_what_differs_is_settled_one_after_the_other(screen: Screen, ground: Ground) -> None:
    """An image that is settled leaves the filter; the next one is still the next."""
    screen.open(f"/actors/0000_anna?status=out_of_sync&image={EDITED}")
    screen.viewed()
    screen.find("[data-prefer=local]").click()
    screen.confirm()
    screen.wait("document.querySelector('#viewer header .word').textContent === 'Synced'")
    screen.find("#viewer .stage").focus()
    screen.press("ArrowRight")
    assert screen.viewed() == REPLACED
    screen.press("ArrowLeft")
    assert screen.viewed() == BOTH
    assert screen.statuses() == {REPLACED: "Out-of-sync", BOTH: "Out-of-sync"}
