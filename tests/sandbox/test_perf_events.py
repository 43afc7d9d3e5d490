from __future__ import annotations

import os
import time

import pytest

from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent, InstructionCounter, Reading, open_counter


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_disabled_counter_counts_nothing_and_an_enabled_one_does() -> None:
    with InstructionCounter(event="task_clock") as counter:
        burn(0.01)
        assert counter.read().value == 0
        counter.enable()
        burn(0.01)
        counter.disable()
        first = counter.read()
        burn(0.01)
        assert first.value >= 0.009e9
        assert counter.read() == first
        assert not first.was_multiplexed


def test_a_counter_sums_up_the_children_that_start_after_it() -> None:
    with InstructionCounter(event="task_clock", enabled=True) as counter:
        before = counter.read().value
        child = os.fork()
        if child == 0:
            burn(0.05)
            os._exit(0)
        os.waitpid(child, 0)
        assert counter.read().value - before >= 0.045e9


def test_user_instructions_are_counted_or_their_absence_is_explained() -> None:
    counter = open_counter()
    if isinstance(counter, CounterAbsent):
        assert counter.reason in ("not_permitted", "not_present", "not_supported")
        assert "\n" not in counter.detail
        with pytest.raises(PrerequisiteError, match="counter 'instructions'"):
            InstructionCounter()
        return
    with counter:
        counter.enable()
        sum(range(100_000))
        assert counter.read().value > 100_000


def test_a_counter_on_a_process_that_does_not_exist_is_a_typed_absence() -> None:
    absent = open_counter(2**22 + 1, event="task_clock")
    assert isinstance(absent, CounterAbsent)
    assert absent.reason == "failed"
    assert "ESRCH" in absent.detail


def test_a_counter_that_shared_the_hardware_says_so() -> None:
    assert Reading(1, 100, 60).was_multiplexed
    assert not Reading(1, 100, 100).was_multiplexed


def test_closing_a_counter_twice_is_harmless() -> None:
    counter = InstructionCounter(event="task_clock")
    counter.close()
    counter.close()
