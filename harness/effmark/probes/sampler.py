"""The sampler: a process next to a worker in which all energy probes live.

`python -m effmark.probes.sampler FD`, started by the worker's EnergyMeter. It obeys `open`,
`start`, `stop` and ends when the pipe closes. Every probe has a thread here, so one that hangs or
throws loses only its own number; the measured process has no probe thread, and sleeps where it
waits for an answer. Threads that read sensors ask for real-time priority, where they may have it,
because a read that comes late widens the error bound; models run only when nobody else wants to.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from effmark.channel import Channel
from effmark.probes.contract import (
    Drains,
    Draws,
    EnergyProbe,
    Instrument,
    Reports,
    Seen,
    Target,
    absent,
)
from effmark.probes.discovery import probe_makers
from effmark.probes.host_trace import HostTrace
from effmark.record import EnergyReading, Missing

__all__ = ["Watcher", "main"]

OPEN_S = 5.0
"""Longest that a probe may take to open."""
READY_S = 1.0
"""Longest that a load which runs once waits for the idle power to be seen."""
ANSWER_S = 2.0
"""Longest that a probe may take to end a window."""


class Watcher(threading.Thread):
    """One probe in its thread: told to open, start and stop by queue, polled in between."""

    def __init__(self, name: str, make: Callable[[], EnergyProbe]) -> None:
        super().__init__(name=name, daemon=True)
        self._make = make
        self._orders: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._probe: EnergyProbe | None = None
        self._failure: Missing | None = None
        self._begun = False
        self._lost: Missing | None = None
        """Set for good once the probe did not answer in time."""

    def order(self, action: str, *arguments: Any) -> None:
        """Tell the probe to do something; returns at once."""
        if action == "start":
            self._begun = False
        self._orders.put((action, arguments))

    @property
    def load_may_begin(self) -> bool:
        """Return whether the probe has begun and has seen what it needs of the idle device."""
        probe = self._probe
        waits = isinstance(probe, Drains) and self._failure is None
        return self._begun and not (waits and not probe.ready())  # type: ignore[union-attr]

    def answer(self, deadline_s: float, doing: str) -> Any:
        """Return what the probe said, or Missing when it has not said anything by a moment."""
        if self._lost is not None:
            return self._lost
        try:
            left_s = min(OPEN_S, max(0.0, deadline_s - time.monotonic()))
            return self._answers.get(timeout=left_s)
        except queue.Empty:
            detail = f"{self.name}: no answer while asked to {doing}; the probe hangs"
            self._lost = absent("failed", detail)
            return self._lost

    @property
    def ready(self) -> bool:
        """Return whether the probe has answered its last order."""
        return not self._answers.empty()

    def run(self) -> None:
        """Obey orders; poll the probe while a window is open."""
        wake = math.inf
        while True:
            left = wake - time.monotonic()
            try:
                action, arguments = self._orders.get(
                    timeout=None if left == math.inf else max(left, 0)
                )
            except queue.Empty:
                wake = self._guarded(self._poll, math.inf)
                continue
            if action == "open":
                self._answers.put(self._guarded(partial(self._open, *arguments), None))
            elif action == "start":
                self._failure = None
                wake = self._guarded(self._start, math.inf)
                self._begun = True
            elif action in ("stop", "drain"):
                once = action == "drain"
                found = self._guarded(partial(self._stop, *arguments, once=once), None)
                self._answers.put(self._failure or found)
                wake = math.inf

    def _guarded(self, action: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - a foreign probe may fail in any way
            text = f"{self.name}: {type(error).__name__}: {error}"
            self._failure = absent("failed", text)
            return self._failure if otherwise is None else otherwise

    def _open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        probe = self._make()
        _set_priority(real_time=probe.measures)
        found = probe.open(target)
        if isinstance(found, Missing):
            return found.model_copy(update={"detail": f"{self.name}: {found.detail}"})
        self._probe = probe
        return found

    def _start(self) -> float:
        assert self._probe is not None
        self._probe.start()
        return self._probe.poll()

    def _poll(self) -> float:
        assert self._probe is not None
        return self._probe.poll()

    def _stop(
        self, start_s: float, end_s: float, *, once: bool
    ) -> tuple[tuple[Any, ...], Seen, tuple[Any, ...]]:
        probe = self._probe
        assert probe is not None
        drains = once and isinstance(probe, Drains)
        end = probe.drain if drains and isinstance(probe, Drains) else probe.stop
        readings = end(start_s, end_s)
        seen = probe.seen() if isinstance(probe, Reports) else Seen()
        return readings, seen, probe.traces() if isinstance(probe, Draws) else ()


def _set_priority(*, real_time: bool) -> None:
    """Put the calling thread before all others, or behind them.

    Not behind everybody (SCHED_IDLE): on a busy machine it would never let go of the interpreter
    lock that the thread which answers the worker needs.
    """
    if not hasattr(os, "sched_setscheduler"):
        return
    with contextlib.suppress(OSError):  # not permitted: the bound will say what it costs
        if real_time:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        else:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)


class _Sampler:
    """All watchers; answers the worker."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._watchers: list[Watcher] = []
        self._opening: list[Watcher] = []
        """Models take their time to open and nobody waits for them."""
        self._absent: list[Missing] = []
        """Models that could not be opened."""
        self._start_s = 0.0

    def serve(self) -> None:
        """Obey until the pipe closes."""
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                return
            if message["op"] == "open":
                self._channel.send("opened", **self._open(Target.model_validate(message["target"])))
            elif message["op"] == "start":
                self._start()
                if message.get("once"):
                    self._await_idle()
                    self._channel.send("ready")
            else:
                window = self._stop(message["end_s"], message.get("begin_s"))
                self._channel.send("window", **window)

    def _open(self, target: Target) -> dict[str, Any]:
        """Open what measures; only where nothing does, begin to open what estimates."""
        makers, missing = probe_makers(measuring=True)
        makers["host"] = HostTrace
        instruments: list[Instrument] = []
        deadline = time.monotonic() + OPEN_S
        for watcher in _opened(makers, target):
            answer = watcher.answer(deadline, "open")
            if isinstance(answer, Missing):
                missing.append(answer)
            else:
                instruments += answer
                self._watchers.append(watcher)
        if not instruments:
            self._opening = _opened(probe_makers(measuring=False)[0], target)
        return {
            "instruments": [i.model_dump(mode="json") for i in instruments],
            "missing": [m.model_dump(mode="json") for m in missing],
        }

    def _start(self) -> None:
        self._start_s = time.monotonic()
        for watcher in (*self._watchers, *self._opening):
            watcher.order("start")  # one that is still opening begins when it can

    def _await_idle(self) -> None:
        """Return when every probe has seen the idle device, or when that takes too long."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if all(watcher.load_may_begin for watcher in self._watchers):
                return
            time.sleep(0.002)

    def _opened_by_now(self) -> None:
        """Take in the models that have opened since."""
        for watcher in [w for w in self._opening if w.ready]:
            self._opening.remove(watcher)
            answer = watcher.answer(math.inf, "open")
            if isinstance(answer, Missing):
                self._absent.append(answer)
            else:
                self._watchers.append(watcher)

    def _stop(self, end_s: float, begin_s: float | None) -> dict[str, Any]:
        """End a window; `begin_s` is when a load began that ran once."""
        self._opened_by_now()
        for watcher in self._watchers:
            if begin_s is None:
                watcher.order("stop", self._start_s, end_s)
            else:
                watcher.order("drain", begin_s, end_s)
        deadline = time.monotonic() + ANSWER_S
        late = [absent("failed", f"{w.name}: was still starting") for w in self._opening]
        readings: list[EnergyReading] = []
        missing: list[Missing] = [*self._absent, *late]
        traces: list[Any] = []
        state: dict[str, Any] = {}
        unknown: dict[str, str] = {}
        for watcher in self._watchers:
            answer = watcher.answer(deadline, "end a window")
            if isinstance(answer, Missing):
                missing.append(answer)
                continue
            found, seen, drawn = answer
            readings += [f for f in found if not isinstance(f, Missing)]
            missing += [f for f in found if isinstance(f, Missing)]
            traces += [trace.model_dump(mode="json") for trace in drawn]
            state.update(seen.state)
            unknown.update(seen.unknown)
        return {
            "readings": [r.model_dump(mode="json") for r in readings],
            "missing": [m.model_dump(mode="json") for m in missing],
            "state": state,
            "unknown": unknown,
            "traces": traces,
        }


def _opened(makers: dict[str, Callable[[], EnergyProbe]], target: Target) -> list[Watcher]:
    """Return watchers of probes that have been told to open."""
    watchers = [Watcher(name, make) for name, make in makers.items()]
    for watcher in watchers:
        watcher.start()
        watcher.order("open", target)
    return watchers


def main() -> None:
    """Serve the worker, then go without waiting for threads that hang."""
    sys.setswitchinterval(0.0005)  # threads of one process here; the default of 5 ms is a late read
    gc.freeze()  # what is imported stays; a collection in mid-window is a late read, too
    with contextlib.suppress(OSError):
        _Sampler(Channel(Connection(int(sys.argv[1])))).serve()
    os._exit(0)


if __name__ == "__main__":
    main()
