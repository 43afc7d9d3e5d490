"""From the kernel's bill to the time of a call: what cannot be hidden, and what noise may do."""

from __future__ import annotations

import pytest

from effmark.code.bout import Bill, ending
from effmark.sandbox import JobResult
from effmark.sandbox.job import Overhead


def result(
    cpu_s: float, *, status: str = "ok", reason: str = "", instructions: int = 0
) -> JobResult:
    return JobResult(
        status=status, limit=None, reason=reason, wall_s=cpu_s, cpu_s=cpu_s + 0.001,
        user_instructions=instructions + 500, maxrss_b=1, values=(), output="", level="strong",
        layers=(), worker=0, zygote=0, overhead=Overhead(0.001, 0.001, 500, 1),
    )  # fmt: skip


def test_what_is_billed_beyond_the_readings_is_charged_to_every_call() -> None:
    reference = Bill(cost=0.012, calls_s=0.010, cpu_s=0.012, instructions=False)
    honest = Bill(cost=0.022, calls_s=0.020, cpu_s=0.022, instructions=False)
    assert honest.times([0.015, 0.005], reference) == [0.015, 0.005]
    hiding = Bill(cost=0.102, calls_s=0.0, cpu_s=0.102, instructions=False)
    charged = hiding.times([0.0, 0.0], reference)
    assert charged == pytest.approx([0.102 - 0.002 - 0.003 - 0.05 * 0.102] * 2)


def test_instructions_are_billed_less_what_the_reference_shows_to_be_around_the_call() -> None:
    reference = Bill(cost=1000.0, calls_s=0.008, cpu_s=0.010, instructions=True)
    assert reference.times([0.008], None) == [pytest.approx(800.0)]
    sample = Bill(cost=5000.0, calls_s=0.040, cpu_s=0.042, instructions=True)
    assert sample.times([0.040], reference) == [pytest.approx(4800.0)]


@pytest.mark.parametrize(
    ("status", "reason", "calls_s", "expected"),
    [
        ("timeout", "", (), ("timeout", "timeout")),
        ("ok", "", (2.0,), ("timeout", "timeout")),
        ("ok", "", (0.5,), ("exit", "exit")),
        ("no_output", "", (), ("exit", "exit")),
        ("memory", "", (), ("memory", "memory")),
        ("exception", "OverflowError: big", (), ("overflow", "overflow")),
        ("exception", "SystemExit: 3", (), ("exit", "exit")),
        ("exception", "ValueError: 3", (), ("error", "error")),
        ("crash:SIGSEGV", "", (), ("error", "crash")),
        ("forbidden", "", (), ("error", "forbidden")),
        ("output_limit", "", (), ("error", "output_limit")),
    ],
)
def test_every_end_of_a_job_is_an_event_of_the_score(
    status: str, reason: str, calls_s: tuple[float, ...], expected: tuple[str, str]
) -> None:
    assert ending(result(0.1, status=status, reason=reason), calls_s, 1.0) == expected
