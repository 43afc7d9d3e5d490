"""Run every hostile program in one kind of sandbox; print one JSON line for each.

A program of its own, as it must also run as another user than the tests. It runs nothing hostile
unless the sandbox started, which it does only after its canary found no gap.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError
from effmark.sandbox import Job, JobResult, Limits, Sandbox

_MEMORY_B = 256 << 20
_WATCHED = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/mounts")
_PLANTED = "PLANTED-SECRET-123456"
_PLANTER = Job("print(inputs); emit(inputs); kept = [inputs] * 100", inputs=_PLANTED)
_CANARY = Job("import os; emit(sorted(os.listdir('.'))); print('ok')")


def _high_water_b() -> int:
    """Return the peak of this process's own memory; ru_maxrss would start at its parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024


def expectation(program: Path) -> dict[str, Any]:
    """Return what the first line of a program promises."""
    first = program.read_text().splitlines()[0].removeprefix("# expect: ")
    statuses, *rest = first.split("; ")
    named = dict(part.split(": ", 1) for part in rest)
    return {"statuses": statuses.split("|"), **{k: json.loads(v) for k, v in named.items()}}


def ways(program: Path) -> list[Any]:
    """Return the inputs with which a program is run."""
    if not program.name.startswith("42"):
        return [None]
    signals = [["signal", number] for number in range(1, 32)]
    return signals + [["status", code] for code in (0, 1, 2, 9, 64, 70, 126, 127, 128, 137, 255)]


def job_for(program: Path, inputs: Any) -> Job:
    """Return the job; endless programs get little time, the others plenty."""
    seconds = 0.4 if "timeout" in expectation(program)["statuses"] else 10.0
    limits = Limits(wall_s=seconds, memory_b=_MEMORY_B)
    return Job(program.read_text(), inputs=inputs, limits=limits)


def host_state() -> dict[str, Any]:
    """Return what no job may change."""
    state: dict[str, Any] = {path: Path(path).read_bytes().hex() for path in _WATCHED}
    state["descendants"] = sorted(_descendants(os.getpid()))
    state["shared memory"] = sorted(os.listdir("/dev/shm"))  # noqa: PTH208
    return state


def _descendants(root: int) -> set[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def report(program: Path, inputs: Any, results: list[JobResult], before: dict[str, Any]) -> None:
    """Print how one program ended and what it left behind."""
    result, canary = results[-2:]
    after = host_state()
    line = {
        "program": program.stem,
        "inputs": inputs,
        "status": result.status,
        "limit": result.limit,
        "reason": result.reason,
        "values": result.values if sum(map(len, result.values)) < 1000 else ("too much",),
        "output": result.output[:1000],
        "output_b": len(result.raw_output),
        "cpu_s": result.cpu_s,
        "level": result.level,
        "layers": result.layers,
        "attempts": max(r.attempts for r in results if r is not result),
        "canary": [canary.status, canary.output, *canary.values],
        "changed": [name for name in before if before[name] != after[name]],
        "harness_maxrss_b": _high_water_b(),
    }
    print(json.dumps(line), flush=True)


def main() -> int:
    """Run all programs of the folder given first, in the sandbox that the rest describes."""
    folder, level, room = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    try:
        sandbox = Sandbox(1, level=level, room=None if room == "-" else room)  # type: ignore[arg-type]
    except PrerequisiteError as error:
        print(json.dumps({"refused": str(error)}), flush=True)
        return error.exit_code
    with sandbox:
        for program in sorted(folder.glob("[0-9]*.py")):
            for inputs in ways(program):
                before = host_state()
                job = job_for(program, inputs)
                planted = [_PLANTER] if inputs is None else []
                results = sandbox.run_together([*planted, job, _CANARY])
                report(program, inputs, results, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
