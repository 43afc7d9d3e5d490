"""What goes into the sandbox and what comes out: jobs, limits, results.

Expected answers are in none of these: a result is compared with them outside, as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from effmark.perf_events import CounterAbsent

__all__ = ["Job", "JobResult", "Level", "Limits", "Overhead", "printable"]

Level = Literal["strong", "standard", "weak"]
"""How well foreign code is contained; what each one asks for is said in ``levels.py``."""

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a job may use at most."""

    wall_s: float = 5.0
    """Backstop in seconds of wall time, from the first instruction of the foreign code."""
    cpu_s: float | None = None
    """Seconds of processor time; as `wall_s` if None."""
    instructions: int | None = None
    """User instructions; not checked where they cannot be counted."""
    memory_b: int = 1024 * _MIB
    """Address space of the process; also real memory where there is a cgroup."""
    output_b: int = 64 * 1024
    """Standard output and standard error together."""
    values_b: int = _MIB
    """All values that the job emits."""
    files_b: int = 16 * _MIB
    """All temporary files together, and each one."""

    def header(self, body_b: int) -> dict[str, Any]:
        """Return the limits as the worker gets them."""
        cpu_s = self.wall_s if self.cpu_s is None else self.cpu_s
        return {**vars(self), "cpu_s": cpu_s, "body_b": body_b}


@dataclass(frozen=True)
class Job:
    """One run of foreign code."""

    code: str
    """The foreign code: a module ``solution`` if there is a driver, the program otherwise."""
    driver: str = ""
    """Our code that runs after it, in the same process, and sees ``solution``, ``inputs`` and
    ``emit``; a program without a driver sees ``inputs`` and ``emit`` itself."""
    inputs: Any = None
    """Any JSON value; decoded before time and instructions are counted."""
    stdin: str = ""
    """Standard input."""
    limits: Limits = Limits()

    def body(self) -> bytes:
        """Return what only the job's own process reads."""
        content = {name: getattr(self, name) for name in ("code", "driver", "inputs", "stdin")}
        return json.dumps(content).encode()


@dataclass(frozen=True)
class Overhead:
    """What an empty job costs in the same zygote: to be subtracted from a result."""

    wall_s: float
    cpu_s: float
    user_instructions: int | CounterAbsent
    maxrss_b: int


@dataclass(frozen=True)
class JobResult:
    """How one job ended and what it used; raw, with nothing subtracted."""

    status: str
    """`ok`, `exception`, `timeout`, `memory`, `output_limit`, `crash:<signal>`, `no_output`,
    `forbidden`, or `sandbox_lost` (never the fault of the code, never to be scored)."""
    limit: str | None
    """Which limit: `wall`, `cpu`, `instructions`, `memory`, `output`, `values`, `files`."""
    reason: str
    """One line for people, escaped; empty for `ok`."""
    wall_s: float
    cpu_s: float
    user_instructions: int | CounterAbsent
    maxrss_b: int
    values: tuple[str, ...]
    """What the job emitted, in order, exact: text to compare, not to print."""
    output: str
    """Standard output and error, escaped, so that it can be printed."""
    level: Level
    layers: tuple[str, ...]
    """The layers that were active for this very job."""
    worker: int
    zygote: int
    """Serial number of the worker's zygote: jobs are comparable to the last digit within one."""
    overhead: Overhead
    starved_s: float | None = None
    """Seconds ready to run and not let (jobs over 0.1 s); None where the kernel does not tell."""
    steal_s: float | None = None
    """Seconds taken by a hypervisor meanwhile (jobs over 0.1 s)."""
    attempts: int = 1
    """2 where the job was run again: after a lost worker, or alone after a near miss."""
    raw_output: bytes = field(default=b"", repr=False)

    def net_cpu_s(self) -> float:
        """Return the processor time without that of an empty job, in seconds."""
        return max(0.0, self.cpu_s - self.overhead.cpu_s)

    def net_instructions(self) -> int | CounterAbsent:
        """Return the user instructions without those of an empty job."""
        if isinstance(self.user_instructions, CounterAbsent):
            return self.user_instructions
        if isinstance(self.overhead.user_instructions, CounterAbsent):
            return self.overhead.user_instructions
        return max(0, self.user_instructions - self.overhead.user_instructions)


def printable(raw: bytes) -> str:
    """Return bytes as text that no terminal obeys: all but newlines and tabs is escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )
