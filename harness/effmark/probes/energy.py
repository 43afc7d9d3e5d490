"""The energy of windows of this process, from whatever instruments this machine has.

The probes live in a process of their own (`sampler`); here is only the telephone: every exchange
has a time limit, and a sampler that is late or dead costs the numbers, never the measurement.
Where nothing measures, the CPU time of this process gives an estimate at no cost.
"""

from __future__ import annotations

import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from pydantic import ValidationError

from effmark.channel import Channel
from effmark.probes.baseline import with_net
from effmark.probes.contract import Instrument, Seen, Target, absent
from effmark.probes.cpu_time import CpuTimeModel
from effmark.probes.kin import add_instrument, bury_instrument
from effmark.record import EnergyReading, Missing, Trace
from effmark.schema import first_fault

__all__ = ["EnergyMeter"]

Timed = TypeVar("Timed", EnergyReading, Trace)

OPEN_S = 20.0
"""Longest wait for the sampler to start and open; normally it is done before anybody asks."""
ANSWER_S = 4.0
MEASURE_S = 2.0
"""Shortest time that a load should run for a measurement: PROBES rule of max(20 periods, 2 s)."""
_REST_SHARE = 0.1
_REST_S = (1.0, 10.0)
"""The idle baseline takes a tenth of the budget, within these limits."""


class EnergyMeter:
    """All instruments for one target; a sampler process that starts when it is made."""

    def __init__(self, target: Target) -> None:
        self._model = CpuTimeModel()
        self._model_absent = self._model.open(target)
        self._instruments: tuple[Instrument, ...] | None = None
        self._missing: list[Missing] = []
        self._before: tuple[EnergyReading, ...] = ()
        self._rest_s = 0.0
        self._begin_s: float | None = None
        """When a load began that runs once."""
        self.seen = Seen()
        """The state of the device in the last window."""
        self.traces: tuple[Trace, ...] = ()
        """What was read over time in the last window, on the clock of `stop`."""
        ours, theirs = Pipe()
        self._channel: Channel | None = Channel(ours)
        self._process = self._started(theirs)
        self._send("open", target=target.model_dump(mode="json"))

    def _started(self, theirs: Connection[Any, Any]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "effmark.probes.sampler", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        add_instrument(process.pid)
        return process

    @property
    def pids(self) -> frozenset[int]:
        """Return the processes that belong to the instruments, not to the workload."""
        return frozenset({self._process.pid})

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """Return what is there; waits for the sampler the first time."""
        if self._instruments is None:
            answer = self._receive(OPEN_S)
            self._instruments = ()
            if answer is not None:
                found = answer["instruments"]
                self._instruments = tuple(Instrument.model_validate(i) for i in found)
                self._missing += [Missing.model_validate(m) for m in answer["missing"]]
        return self._instruments

    @property
    def measures(self) -> bool:
        """Return whether any instrument is a sensor."""
        return any(i.source != "model_estimate" for i in self.instruments)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Return why instruments are missing."""
        _ = self.instruments  # which absences there are is known with the answer to `open`
        return tuple(self._missing)

    @property
    def wanted_s(self) -> float:
        """Return how long a load has to run to be measured well; 0 where nothing measures."""
        return MEASURE_S if self.measures else 0.0

    def rest(self, budget_s: float | None) -> None:
        """Measure the idle baseline, where anything measures; the device must be idle."""
        self._before = ()
        if self.measures:
            wanted_s = _REST_S[1] if budget_s is None else budget_s * _REST_SHARE
            self._rest_s = min(max(wanted_s, _REST_S[0]), _REST_S[1])
            self._before = self._idle()

    def start(self, *, once: bool = False) -> None:
        """Begin to watch; the load is running already.

        Args:
            once: the load begins when this returns, runs once and may be short: where a counter
                is, its idle power is seen first, and `stop` waits until it has moved again.
        """
        self._begin_s = None
        once = once and self.measures
        self._send("start", once=once)
        if once:
            self._receive(ANSWER_S)
        self._model.start()
        if once:
            self._begin_s = time.monotonic()

    def stop(self, origin_s: float) -> tuple[list[EnergyReading], list[Missing]]:
        """Return the readings since `start`, on a clock that begins at `origin_s`."""
        end_s = time.monotonic()  # what follows takes its time, which is none of the load's
        estimate = self._estimate()
        readings, failures = self._window(end_s)
        absences = self.missing
        measured = [r for r in readings if r.source != "model_estimate"]
        self.traces = tuple(_rebased(trace, origin_s) for trace in self.traces)
        if measured and self._before:
            readings = with_net(readings, self._before, self._idle())
        if not measured:
            if isinstance(estimate, Missing):
                failures.append(estimate)
            else:
                readings.append(estimate)
        return [_rebased(r, origin_s) for r in readings], [*absences, *failures]

    def _estimate(self) -> EnergyReading | Missing:
        """Return the model's estimate of the window; an impossible one costs the number only."""
        try:
            return self._model.stop()
        except ValidationError as error:
            return absent("failed", f"{self._model.name}: {first_fault(error)}")

    def close(self) -> None:
        """End the sampler; calling it twice is allowed."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        try:
            bury_instrument(self._process, timeout_s=1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            bury_instrument(self._process)

    def _idle(self) -> tuple[EnergyReading, ...]:
        self._send("start")
        time.sleep(self._rest_s)
        seen, traces = self.seen, self.traces
        self._begin_s = None
        readings, _ = self._window(time.monotonic())
        self.seen, self.traces = seen, traces  # of the load, not of the pause
        return tuple(readings)

    def _window(self, end_s: float) -> tuple[list[EnergyReading], list[Missing]]:
        """Return what the instruments say of the window that ended at a moment."""
        _ = self.instruments  # the answer to `open` comes before that to `stop`
        self.traces = ()
        if self._channel is None:
            return [], []
        self._send("stop", end_s=end_s, begin_s=self._begin_s)
        answer = self._receive(ANSWER_S)
        if answer is None:
            return [], []
        self.seen = Seen(state=answer["state"], unknown=answer["unknown"])
        self.traces = tuple(Trace.model_validate(t) for t in answer["traces"])
        missing = [Missing.model_validate(m) for m in answer["missing"]]
        readings: list[EnergyReading] = []
        for told in answer["readings"]:
            try:
                readings.append(EnergyReading.model_validate(told))
            except ValidationError as error:
                missing.append(absent("rejected", f"{told.get('probe')}: {first_fault(error)}"))
        return readings, missing

    def _send(self, op: str, **body: Any) -> None:
        if self._channel is None:
            return
        try:
            self._channel.send(op, **body)
        except OSError:
            self._lose("the sampler is gone")

    def _receive(self, limit_s: float) -> dict[str, Any] | None:
        """Return the sampler's answer; None, and a Missing, when there is none in time."""
        if self._channel is None:
            return None
        try:
            if wait([self._channel.connection], limit_s):
                return self._channel.receive()
            self._lose(f"the sampler did not answer within {limit_s:g} s")
        except (EOFError, OSError):
            self._lose("the sampler died")
        return None

    def _lose(self, what: str) -> None:
        """Do without the sampler from now on."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._process.kill()
        bury_instrument(self._process)
        code = self._process.returncode
        detail = f"{what} (exit {code}); energy of this process is lost"
        self._missing.append(absent("failed", detail))
        self._instruments = ()


def _rebased(found: Timed, origin_s: float) -> Timed:
    """Return a reading or a trace on a clock that begins at `origin_s`."""
    names = [name for name in ("start_s", "end_s") if hasattr(found, name)]
    return found.model_copy(update={name: getattr(found, name) - origin_s for name in names})
