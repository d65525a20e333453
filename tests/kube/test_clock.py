"""Is server time close to the truth, never going back, whatever the answers say?"""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainyard.kube.clock import ServerClock, steady


class Steady:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def observe(clock: ServerClock, mine: Steady, server_offset: float, *, out: float = 0.01, back: float = 0.01) -> None:
    sent = mine.at
    date = formatdate(int(sent + out + server_offset), usegmt=True)
    mine.at += out + back
    clock.observe(date, sent, mine.at)


def test_there_is_no_time_before_the_first_answer() -> None:
    clock = ServerClock(Steady())
    assert not clock.ready
    with pytest.raises(RuntimeError, match="before the API server answered"):
        clock.now()
    clock.observe(None, 0.0, 1.0)
    clock.observe("not a date", 0.0, 1.0)
    assert not clock.ready


@given(
    offset=st.floats(1e9, 2e9),
    waits=st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30),
    latency=st.floats(0.0, 0.5),
)
def test_it_is_close_and_never_goes_back(offset: float, waits: list[float], latency: float) -> None:
    mine = Steady()
    clock = ServerClock(mine)
    last = 0.0
    for wait in waits:
        mine.at += wait
        observe(clock, mine, offset, out=latency, back=latency)
        now = clock.now()
        assert now >= last
        # Half the header's resolution and half the round trip, plus what slewing after a first bad guess may lag.
        assert abs(now - (mine.at + offset)) <= 1.0 + 2 * latency + 0.01
        last = now


def test_many_answers_are_sharper_than_one_second() -> None:
    mine = Steady()
    clock = ServerClock(mine)
    for _ in range(200):
        mine.at += 0.173
        observe(clock, mine, 1.7e9 + 0.37, out=0.002, back=0.002)
    assert abs(clock.now() - (mine.at + 1.7e9 + 0.37)) < 0.2


def test_drift_is_followed() -> None:
    mine = Steady()
    clock = ServerClock(mine)
    for step in range(5000):
        mine.at += 1.37
        observe(clock, mine, 1.7e9 + step * 1.37 * 1e-4)
    assert abs(clock.now() - (mine.at + 1.7e9 + 5000 * 1.37 * 1e-4)) < 0.6


def test_a_server_clock_set_back_slows_time_but_does_not_stop_it() -> None:
    mine = Steady()
    clock = ServerClock(mine)
    observe(clock, mine, 1.7e9)
    before = clock.now()
    observe(clock, mine, 1.7e9 - 3600)
    just_after = clock.now()
    mine.at += 100
    later = clock.now()
    assert before <= just_after < before + 1
    assert later - just_after == pytest.approx(50, abs=0.1)
    mine.at += 8000
    assert clock.now() == pytest.approx(mine.at + 1.7e9 - 3600, abs=1.0)


def test_a_server_clock_set_forward_is_believed() -> None:
    mine = Steady()
    clock = ServerClock(mine)
    observe(clock, mine, 1.7e9)
    clock.now()
    observe(clock, mine, 1.7e9 + 3600)
    assert clock.now() == pytest.approx(mine.at + 1.7e9 + 3600, abs=1.0)


def test_the_steady_clock_moves_on() -> None:
    first = steady()
    assert steady() >= first
