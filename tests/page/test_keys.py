"""Everything can be done without a mouse, and the help says how."""

from __future__ import annotations

import pytest

from screen import ANNA, BERT, IMAGES, LOCAL, SYNCED, Screen


def _active(screen: Screen) -> str | None:
    found: str | None = screen.evaluate("document.activeElement.closest('.card')?.dataset.key")
    return found


def _columns(screen: Screen) -> int:
    return int(
        screen.evaluate("getComputedStyle(document.querySelector('#images')).gridTemplateColumns.split(' ').length")
    )


def test_arrows_home_and_end_walk_the_grid(look: Screen) -> None:
    look.open()
    order, wide = look.shown(), _columns(look)
    look.press("ArrowRight", "ArrowRight")
    assert _active(look) == order[1]
    look.press("ArrowDown")
    assert _active(look) == order[1 + wide]
    look.press("ArrowUp", "ArrowLeft")
    assert _active(look) == order[0]
    look.press("ArrowLeft", "ArrowUp")
    assert _active(look) == order[0]
    look.press("End")
    assert _active(look) == order[-1]
    look.press("Home")
    assert _active(look) == order[0]


def test_tab_leads_to_one_card_only(look: Screen) -> None:
    look.open()
    assert look.evaluate("document.querySelectorAll('#images [tabindex=\"0\"]').length") == 1
    look.find("#size").focus()
    look.press("Tab")
    assert _active(look) == look.shown()[0]
    look.press("ArrowRight", "Tab")
    assert _active(look) is None
    look.press("Shift+Tab")
    assert _active(look) == look.shown()[1]


def test_x_shift_and_ctrl_a_select_and_esc_peels(look: Screen) -> None:
    look.open()
    order = look.shown()
    look.press("ArrowRight", "x")
    assert look.selected() == {order[0]}
    look.press("Shift+ArrowRight", "Shift+ArrowRight")
    assert look.selected() == {*order[:3]}
    look.press("i")
    assert look.selected() == {*order[3:]}
    look.press("Control+a")
    assert look.selected() == {*IMAGES}
    look.find("[data-filter=local_only]").click()
    look.press("Escape")
    assert look.selected() == set()
    assert len(look.shown()) == len(LOCAL)
    look.press("Escape")
    assert len(look.shown()) == len(IMAGES)


def test_clicks_select_as_in_a_file_manager(look: Screen) -> None:
    look.open()
    order = look.shown()
    look.card(order[1]).click()
    assert look.selected() == {order[1]}
    look.card(order[3]).click(modifiers=["Control"])
    assert look.selected() == {order[1], order[3]}
    look.card(order[5]).click(modifiers=["Shift"])
    assert look.selected() == {order[1], *order[3:6]}
    look.card(order[0]).click()
    assert look.selected() == {order[0]}
    look.card(order[2]).locator(".tick").click()
    assert look.selected() == {order[0], order[2]}


def test_enter_opens_and_esc_closes_and_keeps_the_focus(look: Screen) -> None:
    look.open()
    look.focus(SYNCED[2])
    look.press("Enter")
    assert look.viewed() == SYNCED[2]
    look.press("ArrowRight")
    assert look.viewed() == SYNCED[3]
    look.press("Escape")
    look.wait("!document.querySelector('#viewer').open")
    look.wait(
        f"document.activeElement.closest('.card')?.dataset.key === '{SYNCED[3]}'"
    )  # a closed dialog first gives the focus back


def test_keys_are_about_the_image_that_has_the_focus_and_no_other(look: Screen) -> None:
    look.open()
    look.focus(SYNCED[0])
    look.find("#size").focus()
    look.press("x", "Delete")
    look.page.wait_for_selector(".toast")
    assert "Select an image first" in look.toast()
    assert look.selected() == set()


def test_arrows_walk_on_after_a_click_on_the_selections_bar(look: Screen) -> None:
    look.open()
    look.focus(SYNCED[0])
    look.press("x")
    look.find("#picked [data-select=invert]").click()
    look.press("ArrowRight")
    assert _active(look) == look.shown()[look.shown().index(SYNCED[0]) + 1]


def test_the_selection_says_how_much_of_it_a_filter_hides(look: Screen) -> None:
    look.open()
    look.press("Control+a")
    look.find("[data-filter=local_only]").click()
    assert look.find("#picked .count").inner_text() == "14 selected, 11 not shown"


def test_slash_searches_and_typing_is_typing(look: Screen) -> None:
    look.open()
    look.press("/")
    look.page.keyboard.type("mine")
    assert look.shown() == [*LOCAL]
    assert look.query == "?q=mine"
    look.press("Escape")
    assert look.evaluate("document.activeElement.id") != "search"
    look.press("Escape")
    assert len(look.shown()) == len(IMAGES)


def test_brackets_turn_to_the_next_actor_and_keep_the_filter(look: Screen) -> None:
    look.open("/actors/0000_anna?status=local_only")
    assert str(look.find("#next-actor").get_attribute("href")).endswith(f"/actors/{BERT}?status=local_only")
    look.press("]")
    look.page.wait_for_url(f"**/actors/{BERT}?status=local_only")
    look.page.wait_for_selector("main:not(:has([aria-busy]))")
    look.press("[")
    look.page.wait_for_url(f"**/actors/{ANNA}?status=local_only")


def test_plus_and_minus_size_the_grid_and_that_is_remembered(look: Screen) -> None:
    look.open()
    wide = _columns(look)
    look.press("+")
    assert _columns(look) < wide
    look.press("-", "-")
    assert _columns(look) > wide
    small = _columns(look)
    look.page.reload()
    look.page.wait_for_selector("main:not(:has([aria-busy]))")
    assert _columns(look) == small


@pytest.mark.parametrize(
    ("key", "filename", "title"),
    [
        ("u", "mine_6.png", "Push 1 image"),
        ("d", "theirs_9.png", "Pull 1 image"),
        ("r", "edited_11.png", "Repair 1 image"),
        ("Delete", "same_0.png", "Remove 1 image"),
    ],
)
def test_each_verb_has_a_key_that_shows_its_plan(look: Screen, key: str, filename: str, title: str) -> None:
    look.open()
    look.focus(filename)
    look.press(key)
    look.page.wait_for_selector("#plan[open]")
    assert look.find("#plan-title").inner_text() == title
    look.press("Escape")
    look.wait("!document.querySelector('#plan').open")
    assert _active(look) == filename


def test_a_verb_without_an_image_says_what_to_do(look: Screen) -> None:
    look.open()
    look.press("u")
    look.page.wait_for_selector(".toast")
    assert "Select an image first" in look.toast()


def test_undo_without_anything_done_says_so(look: Screen) -> None:
    look.open()
    look.press("Control+z")
    look.page.wait_for_selector(".toast")
    assert "nothing to undo" in look.toast()


def test_the_help_is_made_from_the_live_key_map(look: Screen) -> None:
    look.open()
    look.press("?")
    look.page.wait_for_selector("#help[open]")
    told = look.find("#help").inner_text()
    for does in (
        "Move",
        "Look at it in full",
        "Select, or not",
        "Good, or not",
        "Push",
        "Pull",
        "Repair",
        "Remove",
        "Triage",
        "Search",
        "Undo",
    ):
        assert does in told
    assert "Zoom in" not in told
    look.press("Escape")
    look.focus(SYNCED[0])
    look.press("Enter")
    look.viewed()
    look.press("?")
    look.page.wait_for_selector("#help[open]")
    assert "Zoom in" in look.find("#help").inner_text()
    look.press("Escape")
    look.wait("!document.querySelector('#help').open")
    assert look.viewed() == SYNCED[0]
