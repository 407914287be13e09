"""Turns: who asks often waits behind who asks once, and nobody who waits for something holds the others up."""

import asyncio

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from app.hosting.turns import Turns, is_drawn


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


class Storm:
    """A page that asks anew as soon as it may."""

    def __init__(self, turns):
        self.turns, self.drawn = turns, 0
        self.task = asyncio.create_task(self._ask())

    async def _ask(self):
        while True:
            await self.turns.take(self)
            self.drawn += 1
            await asyncio.sleep(0)


def test_s9_a_page_that_asks_once_comes_next_however_often_others_ask():
    async def play():
        turns = Turns(2, (60, 60))
        storms = [Storm(turns) for _ in range(6)]
        await settle()
        honest = asyncio.create_task(turns.take("honest"))
        await settle()
        ended = 0
        while not honest.done():
            turns.end(storms[ended % 6])  # each drawing ends once
            ended += 1
            await settle()
        assert ended <= 6, "everybody who came before it was drawn once"
        for storm in storms:
            storm.task.cancel()

    asyncio.run(play())


def test_a_page_alone_is_drawn_anew_at_once_and_so_many_are_drawn_together():
    async def play():
        turns = Turns(2, (60, 60))
        for _ in range(10):
            await turns.take("a")
        await turns.take("b")
        third, again = asyncio.create_task(turns.take("c")), asyncio.create_task(turns.take("a"))
        await settle()
        assert not third.done()
        turns.end("b")
        await settle()
        assert third.done()
        turns.end("a")
        await settle()
        assert again.done()

    asyncio.run(play())


def test_s9_pages_that_are_drawn_all_the_time_leave_a_place_free():
    async def play():
        now = 0.0
        turns = Turns(2, (60, 60), clock=lambda: now)
        storms = [Storm(turns) for _ in range(6)]
        await settle()
        for _ in range(5):  # each is drawn for more than a second
            for storm in storms:
                now += 0.5
                turns.end(storm)
                await settle()
        assert len(turns._drawn) == 1, "one of two places"
        await asyncio.wait_for(turns.take("honest"), 5)
        turns.leave("honest")
        for storm in storms:
            turns.leave(storm)
            storm.task.cancel()
        now += 60.0
        await turns.take(storms[0])
        await asyncio.wait_for(turns.take(storms[1]), 5)  # what is long ago does not count

    asyncio.run(play())


def test_s9_who_looks_between_two_wishes_is_not_busy_however_long_each_takes_and_is_drawn_alone():
    async def play():
        now = 0.0
        turns = Turns(2, (60, 60), clock=lambda: now)
        storms = [Storm(turns) for _ in range(6)]
        await settle()
        for i in range(60):
            now += 0.3
            turns.end(storms[i % 6])
            await settle()
        for _ in range(20):
            await asyncio.wait_for(turns.take("honest"), 5)
            for storm in storms:  # what was drawn when the honest one came ends, and nothing begins beside her
                turns.end(storm)
            await settle()
            assert list(turns._drawn) == ["honest"]
            now += 0.6
            turns.end("honest")
            await settle()
            assert len(turns._drawn) == 1, "one of the storm"
            now += 0.4
        for storm in storms:
            storm.task.cancel()

    asyncio.run(play())


def test_a_turn_is_over_in_any_case_and_who_leaves_while_waiting_is_forgotten():
    async def play():
        turns = Turns(1, (0.01, 60))
        await turns.take("long")
        gone, follows = asyncio.create_task(turns.take("gone")), asyncio.create_task(turns.take("follows"))
        await settle()
        gone.cancel()
        await asyncio.wait_for(follows, 5)
        assert not turns._waiting

    asyncio.run(play())


def test_a_page_that_is_sent_nothing_has_no_place_for_long_and_one_that_is_drawn_has():
    async def play():
        turns = Turns(2, (0.01, 60))
        await turns.take("drawn")
        turns.begin_drawing("drawn")
        await turns.take("part that is gone")
        await asyncio.wait_for(turns.take("follows"), 5)
        assert "drawn" in turns._drawn

    asyncio.run(play())


def test_a_clock_takes_a_free_place_and_waits_for_none():
    async def play():
        turns = Turns(1, (60, 60))
        assert turns.take_now("a")
        assert turns.take_now("a"), "nobody waits"
        assert not turns.take_now("b")
        turns.end("a")
        assert turns.take_now("b")

    asyncio.run(play())


@pytest.mark.parametrize(
    ("status", "drawn"),
    [
        ("FINISHED_SUCCESSFULLY", True),
        ("FINISHED_FRAGMENT_RUN_SUCCESSFULLY", True),
        ("FINISHED_EARLY_FOR_RERUN", False),
    ],
)
def test_the_server_says_when_a_page_is_drawn(status, drawn):
    message = ForwardMsg(script_finished=ForwardMsg.ScriptFinishedStatus.Value(status))
    assert is_drawn(message.SerializeToString()) == drawn
    assert not is_drawn(None)
    assert not is_drawn(bytes(1 << 20))
