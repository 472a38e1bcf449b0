"""Events reach every listener in order, each once; whoever missed some is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from callsheet.web.hub import Event, Hub


def _listened(scenario: Callable[[Hub], Any]) -> Any:
    async def run() -> Any:
        return await asyncio.wait_for(scenario(Hub()), 20)

    return asyncio.run(run())


async def _listens(hub: Hub, last_id: str = "") -> AsyncIterator[Event]:
    """What follows upon the greeting."""
    events = hub.follow(last_id)
    assert (await anext(events)).kind == "hello"
    return events


async def _take(events: AsyncIterator[Event], number: int) -> list[Event]:
    return [await anext(events) for _ in range(number)]


def _told(events: list[Event]) -> list[int]:
    return [event.data["n"] for event in events]


def test_a_listener_hears_what_comes_from_other_threads_in_order() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        events = await _listens(hub)
        first = asyncio.ensure_future(_take(events, 300))

        def speak() -> None:
            for number in range(300):
                hub.publish("job", {"n": number})

        thread = threading.Thread(target=speak)
        thread.start()
        heard = await first
        thread.join()
        return heard

    assert _told(_listened(scenario)) == list(range(300))


def test_a_listener_goes_on_from_the_event_that_it_names() -> None:
    async def scenario(hub: Hub) -> tuple[list[Event], list[Event]]:
        start = await _listens(hub)
        waiting = asyncio.ensure_future(_take(start, 3))
        for number in range(5):
            hub.publish("actor", {"n": number})
        heard = await waiting
        return heard, await _take(await _listens(hub, heard[-1].id), 2)

    heard, resumed = _listened(scenario)
    assert _told(heard) == [0, 1, 2]
    assert _told(resumed) == [3, 4]


def test_whoever_names_an_event_of_another_server_is_told_to_load_anew() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        hub.publish("actor", {"n": 1})
        return [
            event
            for name in ("other-1", "nonsense", "other-", "-1")
            for event in await _take(await _listens(hub, name), 1)
        ]

    assert [event.kind for event in _listened(scenario)] == ["reset"] * 4


def test_a_listener_that_heard_nothing_yet_misses_nothing_either() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        hub.publish("actor", {"n": 0})
        hello = (await _take(hub.follow(), 1))[0]
        hub.publish("actor", {"n": 1})
        return await _take(hub.follow(hello.id), 2)

    hello, missed = _listened(scenario)
    assert (hello.kind, missed.data) == ("hello", {"n": 1})


def test_whoever_lost_events_is_told_so_until_it_has_heard_it_and_then_no_more() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        hub.publish("actor", {"n": 0})
        hello, reset = await _take(hub.follow("other-1"), 2)
        hub.publish("actor", {"n": 1})
        return [hello, reset, *await _take(await _listens(hub, reset.id), 1)]

    hello, reset, missed = _listened(scenario)
    assert (hello.kind, hello.id) == ("hello", ""), "an id of ours would hide that events were lost"
    assert (reset.kind, missed.data) == ("reset", {"n": 1})


def test_whoever_is_too_slow_is_told_to_load_anew_and_hears_what_comes_then() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        events = await _listens(hub)
        hub.publish("actor", {"n": -1})
        heard = await _take(events, 1)
        for number in range(5000):
            hub.publish("actor", {"n": number})
        heard += await _take(events, 1)
        hub.publish("actor", {"n": 5000})
        return heard + await _take(events, 1)

    before, reset, after = _listened(scenario)
    assert (before.data["n"], reset.kind, after.data["n"]) == (-1, "reset", 5000)


def test_a_closed_hub_lets_its_listeners_go() -> None:
    async def scenario(hub: Hub) -> list[Event]:
        waiting = asyncio.ensure_future(_everything(hub.follow()))
        await asyncio.sleep(0)
        assert hub.listeners == 1
        threading.Thread(target=hub.close).start()
        heard = await waiting
        assert hub.listeners == 0
        return heard

    assert [event.kind for event in _listened(scenario)] == ["hello"]


async def _everything(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]
