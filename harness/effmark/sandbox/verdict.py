"""From the facts of a job to its verdict: pure, outside, believing nothing that the job says.

The kernel's facts come first (stopped at a limit, killed by a signal); the job's own last word
only chooses among the ways to fail, or says `ok`, which still has to be followed by the right
values. A job that ends well but without a last word has left the protocol: `no_output`.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any, Protocol

from effmark.sandbox.job import Limits, printable
from effmark.sandbox.protocol import LAST_WORD, VALUE, records

__all__ = ["Verdict", "decide", "is_doubtful", "values_of"]

NEAR_RATIO = 0.1
"""A time this near to its limit, relatively, is measured once more, alone."""

_WORDS = ("ok", "exception", "memory", "forbidden")


class _Limited(Protocol):
    @property
    def limit(self) -> str | None: ...


@dataclass(frozen=True)
class Verdict:
    """How a job ended, in the words of `JobResult`."""

    status: str
    limit: str | None = None
    reason: str = ""


def decide(facts: dict[str, Any], stream: bytes, limits: Limits, *, oom_killed: bool) -> Verdict:
    """Return the verdict on a job with these facts and this value channel."""
    if facts["setup_error"]:
        return Verdict("sandbox_lost", reason=printable(facts["setup_error"].encode()))
    if facts["stopped"] in ("output", "values", "files"):
        return Verdict("output_limit", facts["stopped"], f"more than {facts['stopped']}_b allows")
    return _over_time(facts, limits) or _killed(facts, oom_killed) or _own_words(facts, stream)


def _over_time(facts: dict[str, Any], limits: Limits) -> Verdict | None:
    count, allowed = facts.get("instructions"), limits.instructions
    if allowed is not None and count is not None and count > allowed:
        return Verdict("timeout", "instructions", f"{count} instructions, {allowed} allowed")
    cpu_limit_s = limits.wall_s if limits.cpu_s is None else limits.cpu_s
    if facts["stopped"] == "cpu" or facts["cpu_s"] > cpu_limit_s:
        return Verdict("timeout", "cpu", f"{facts['cpu_s']:.3f} s of CPU, {cpu_limit_s} s allowed")
    if facts["stopped"] == "wall" or facts["wall_s"] > limits.wall_s:
        return Verdict("timeout", "wall", f"{facts['wall_s']:.3f} s, {limits.wall_s} s allowed")
    return None


def _killed(facts: dict[str, Any], oom_killed: bool) -> Verdict | None:
    number = -facts["exit"]
    if number <= 0:
        return None
    if number == signal.SIGKILL and oom_killed:
        return Verdict("memory", "memory", "the kernel ended it: memory of the cgroup used up")
    if number == signal.SIGSYS:
        return Verdict("forbidden", reason="a system call that is not for this architecture")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Verdict(f"crash:{name}", reason=f"ended by {name}")


def _own_words(facts: dict[str, Any], stream: bytes) -> Verdict:
    word = next((text for kind, text in records(stream) if kind == LAST_WORD), None)
    if word is None and facts["exit"] == 0:
        return Verdict("no_output", reason="exit status 0 without the last word of the protocol")
    if word is None:
        return Verdict("exception", reason=f"exit status {facts['exit']} without a last word")
    try:
        said = json.loads(word)
        status, reason = said["status"], str(said.get("reason", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Verdict("no_output", reason="a last word that is not one")
    if status not in _WORDS or (status == "ok") != (facts["exit"] == 0):
        return Verdict("no_output", reason="a last word that does not fit the exit status")
    limit = "memory" if status == "memory" else None
    return Verdict(status, limit, printable(reason.encode("utf-8", "backslashreplace")))


def values_of(stream: bytes) -> tuple[str, ...]:
    """Return the values in a job's value channel, as text."""
    values = (value for kind, value in records(stream) if kind == VALUE)
    return tuple(value.decode("utf-8", "backslashreplace") for value in values)


def is_doubtful(facts: dict[str, Any], verdict: _Limited, limits: Limits) -> bool:
    """Return whether the machine may have decided this verdict: a near miss, or a starved job."""
    cpu_limit_s = limits.wall_s if limits.cpu_s is None else limits.cpu_s
    stopped = facts["stopped"]
    near_cpu = abs(facts["cpu_s"] / cpu_limit_s - 1) < NEAR_RATIO and stopped != "cpu"
    near_wall = abs(facts["wall_s"] / limits.wall_s - 1) < NEAR_RATIO and stopped != "wall"
    if (near_cpu or near_wall) and stopped is None:
        return True
    kept_waiting_s = max(facts.get("starved_s") or 0.0, facts.get("steal_s") or 0.0)
    return verdict.limit == "wall" and kept_waiting_s > NEAR_RATIO * facts["wall_s"]
