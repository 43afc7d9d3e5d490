"""What this machine lets an unprivileged process do, found out by doing it in a child."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from effmark.perf_events import CounterAbsent, open_counter
from effmark.sandbox.filter import Filter
from effmark.sandbox.identity import leave_root
from effmark.sandbox.landlock import landlock_abi
from effmark.sandbox.protocol import HELLO, chunk

__all__ = ["main"]


def main(control: int, request: dict[str, Any]) -> None:
    """Send the answers to `control`, each either empty (yes) or the reason for a no."""
    answers: dict[str, Any] = {"unprivileged_uid": _try(leave_root)}
    if not answers["unprivileged_uid"]:
        leave_root()
        answers["seccomp"] = _try(lambda: _filter_holds(request["machine"]))
        answers["landlock_abi"] = landlock_abi()
        counter = open_counter()
        answers["counter"] = counter.detail if isinstance(counter, CounterAbsent) else ""
    os.write(control, chunk(HELLO, json.dumps(answers).encode()))
    os._exit(0)


def _filter_holds(machine: str) -> None:
    Filter(machine).install()
    try:
        os.fork()
    except PermissionError:
        return
    raise RuntimeError("the filter was accepted and does not filter")


def _try(action: Callable[[], None]) -> str:
    """Return why `action` fails in a child of its own, or nothing."""
    answer, answer_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            action()
        except (OSError, RuntimeError, KeyError) as error:
            said = f"{type(error).__name__}: {error}"
        os.write(answer_end, said.encode())
        os._exit(0)
    os.close(answer_end)
    os.waitpid(child, 0)
    said = os.read(answer, 1000).decode()
    os.close(answer)
    return said
