"""One measurement on its way: the machine and the memory are watched from beginning to end."""

from __future__ import annotations

import datetime
import gc
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Self

from effmark.advice import advise
from effmark.callables.instruments import Instruments
from effmark.callables.subject import SUITE
from effmark.probes.contract import Seen
from effmark.probes.memory import PeakMemory
from effmark.probes.state import MachineWatch
from effmark.record import Measurement, Missing, Record, Settings
from effmark.spec import Cell
from effmark.workloads.context import Findings

__all__ = ["Take"]

NOT_ASKED = Missing(
    metric="energy",
    reason="not_applicable",
    detail="energy was not asked for; a limit on it asks",
)


class Take:
    """A measurement from `with` to the end of the block; `record` afterwards says what it found.

    Objects that exist already are kept out of the garbage collector meanwhile: a collection that
    looks at everything a test runner has loaded is no cost of the callable.
    """

    def __init__(self, instruments: Instruments) -> None:
        self._instruments = instruments
        self._memory = PeakMemory(ignored_pids=instruments.own_pids)
        self._machine = MachineWatch(own_pids=instruments.own_pids)
        self._stack = ExitStack()
        self._exclusive = True
        self._seen = Seen()
        self._start_s = time.monotonic()
        self._elapsed_s = 0.0
        self.memory: tuple[Measurement, ...] = ()
        """Peak, growth and shared memory of this process while the measurement ran."""

    def __enter__(self) -> Self:
        self._exclusive = self._stack.enter_context(self._instruments.alone())
        gc.freeze()
        self._machine.start()
        self._memory.start()
        self._start_s = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._elapsed_s = time.monotonic() - self._start_s
        gc.unfreeze()
        try:
            self.memory = self._memory.measurements()
            self._seen = self._machine.stop()
        finally:
            self._stack.close()

    def record(
        self,
        cell: Cell,
        settings: Settings,
        findings: Findings,
        measurements: Sequence[Measurement] = (),
    ) -> Record:
        """Return what was found as a record with advice."""
        record = Record(
            id=uuid.uuid4().hex,
            run_id=self._instruments.run_id,
            process_id=self._instruments.process_id,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            suite=SUITE,
            cell=cell,
            settings=settings,
            outcome="ok",
            environment=self._instruments.environment.model_copy(update=self._state()),
            measurements=(*self._absences(), *self.memory, *findings.measurements, *measurements),
            energy=tuple(findings.energy),
            energy_missing=tuple(findings.energy_missing),
            warmup_blocks=tuple(findings.warmup_blocks),
            blocks=tuple(findings.blocks),
            stop=findings.stop,
            notes={**findings.notes, **self._notes()},
            elapsed_s=self._elapsed_s,
        )
        validity, advice = advise(record)
        return record.model_copy(update={"validity": validity, "advice": advice})

    def _state(self) -> dict[str, object]:
        environment = self._instruments.environment
        state = {**environment.state, **self._seen.state, "device_exclusive": self._exclusive}
        return {"state": state, "unknown": {**environment.unknown, **self._seen.unknown}}

    def _absences(self) -> Iterable[Missing]:
        """Yield why there are no instruction counts, where there are none."""
        absent = self._instruments.counters.absent
        if absent is not None:
            yield Missing(
                metric="instructions_per_call", reason=absent.reason, detail=absent.detail
            )

    def _notes(self) -> dict[str, str]:
        before = self._instruments.threads_before
        if self._instruments.counters.absent is not None or before <= 0:
            return {}
        return {"instructions": f"{before} threads that began earlier are not counted"}
