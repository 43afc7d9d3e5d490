"""What measures inside this process: opened once, at the first use, shared by all that follows.

Counters see the threads that start after they were opened; how many there were before is noted
in every record. One measurement at a time: a lock that all processes of this machine share.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from effmark.environment import capture_environment
from effmark.errors import PrerequisiteError
from effmark.probes.contract import Target
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.probes.lock import device_lock
from effmark.record import Environment

__all__ = ["LOCK_WAIT_S", "Instruments"]

LOCK_WAIT_S = 600.0
"""Longest wait for another measurement on this machine to end."""
_LOCK = "in-process"


class Instruments:
    """The instruments of this process.

    Args:
        root: the checkout whose revision is measured; None for that of effmark itself.
        lock_wait_s: longest wait for another measurement on this machine to end.
    """

    def __init__(self, root: Path | None = None, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._root, self._lock_wait_s = root, lock_wait_s
        self.run_id, self.process_id = uuid.uuid4().hex, uuid.uuid4().hex
        self.threads_before = _threads() - 1
        """Threads that instruction counts do not see."""
        self.counters = ProcessCounters()
        self._energy: EnergyMeter | None = None

    @property
    def energy(self) -> EnergyMeter:
        """Return the energy meter; it starts with the first question."""
        if self._energy is None:
            self._energy = EnergyMeter(Target(device="cpu", pids=(os.getpid(),)))
        return self._energy

    @property
    def own_pids(self) -> frozenset[int]:
        """Return the processes that belong to the instruments."""
        return frozenset() if self._energy is None else self._energy.pids

    @cached_property
    def environment(self) -> Environment:
        """Return the machine, its packages and the revision that is measured."""
        return capture_environment({}, self._root)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the right to measure among processes that measure in themselves.

        Raises:
            PrerequisiteError: another measurement did not end in time.
        """
        with device_lock(_LOCK, self._lock_wait_s) as ours:
            if not ours:
                raise PrerequisiteError(
                    f"another measurement on this machine did not end within "
                    f"{self._lock_wait_s:g} s; measure one at a time, or wait longer"
                )
            yield

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the right to measure; gives whether no run of the harness uses the CPU either."""
        with self.turn(), device_lock("cpu", 0.0) as exclusive:
            yield exclusive

    def close(self) -> None:
        """Give everything back; calling it twice is allowed."""
        self.counters.close()
        if self._energy is not None:
            self._energy.close()
            self._energy = None


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - entries of /proc vanish
    except OSError:
        return 1
