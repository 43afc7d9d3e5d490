"""The `effmark` fixture: what a test calls to measure."""

from __future__ import annotations

import functools
import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from effmark.callables import Instruments, Window, call_cell, measure_callable
from effmark.errors import SpecError
from effmark.record import Measured, Missing, Record, Settings
from effmark.rows import Number, make_rows
from effmark.spec import Budget, Cell, CellGroup, OptionValue, Suite

if TYPE_CHECKING:
    from effmark.plan import ProcessPlan

__all__ = ["Effmark", "Measurement", "numbers_of"]


def numbers_of(*records: Record) -> Mapping[str, Number | Missing]:
    """Return every number that the records of one measurement give, or why it is missing.

    Args:
        records: one per process.
    """
    repeated = [
        r.model_copy(update={"cell": r.cell.model_copy(update={"repetition": i})})
        for i, r in enumerate(records)
    ]
    return make_rows(repeated)[0].metrics


@dataclass(frozen=True)
class Measurement:
    """A record with what the callable returned; numbers carry value, low, high and unit."""

    record: Record
    value: Any = None
    """What the first call returned."""

    def number(self, metric: str) -> Number | Missing:
        """Return a number of the table of metrics, or why it is missing."""
        detail = f"{self.record.cell.workload.label} does not give it"
        absent = Missing(metric=metric, reason="not_applicable", detail=detail)
        return numbers_of(self.record).get(metric, absent)

    @property
    def latency(self) -> Number | Missing:
        """Return the time of a call in seconds."""
        return self.number("latency_s")

    @property
    def cpu(self) -> Number | Missing:
        """Return the CPU time of a call in seconds."""
        return self.number("cpu_s_per_call")

    @property
    def instructions(self) -> Number | Missing:
        """Return the user-mode instructions of a call."""
        return self.number("instructions_per_call")

    @property
    def bytecodes(self) -> Number | Missing:
        """Return the Python instructions of a call; counted where a marker or option asks."""
        return self.number("bytecodes_per_call")

    @property
    def peak_memory(self) -> Number | Missing:
        """Return the largest resident set of this process while it ran, in bytes."""
        return self.number("peak_memory_b")

    @property
    def energy(self) -> Number | Missing:
        """Return the energy of a call in joules; an estimate says so in `source`."""
        return self.number("energy_j_per_call")


class Effmark:
    """Measures for one test; limits and baselines are looked at when the test has passed.

    Args:
        test: the id of the test.
        instruments: those of this process.
        budget_s: seconds of measuring per callable.
        energy: whether to ask the energy probes.
        bytecodes: whether to count the Python instructions of callables.
    """

    def __init__(
        self,
        test: str,
        instruments: Instruments,
        *,
        budget_s: float,
        energy: bool,
        bytecodes: bool = False,
    ) -> None:
        self._test, self._instruments = test, instruments
        self._budget_s, self._energy, self._bytecodes = budget_s, energy, bytecodes
        self._records: list[Record] = []
        self._windows: dict[str, Window] = {}
        self._names: set[str] = set()
        self._open = ""
        self.last: Measurement | None = None
        """The newest measurement."""

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Measure `function(*args, **kwargs)` and return what its first call returned."""
        return self.measure(function, args, kwargs).value

    def measure(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        calls: int | None = None,
        budget_s: float | None = None,
        bytecodes: bool = False,
        synchronize: Callable[[], None] = lambda: None,
    ) -> Measurement:
        """Measure a callable and return the measurement.

        Args:
            function: what is called, many times.
            args: its arguments.
            kwargs: its keyword arguments.
            name: what the measurement is called; the function's name by default.
            calls: calls per block; None to find out.
            budget_s: seconds of measuring.
            bytecodes: whether to count executed Python instructions, in a few more calls.
            synchronize: waits until the device is idle (`torch.cuda.synchronize`, say).
        """
        self._refuse_inside("a callable")
        _refuse_lazy(function)
        cell = call_cell(self._test, self._unique(name or _name(function)))
        record, value = measure_callable(
            functools.partial(function, *args, **(kwargs or {})),
            cell,
            self._instruments,
            settings=Settings(budget_s=budget_s or self._budget_s),
            energy=self._energy,
            bytecodes=bytecodes or self._bytecodes,
            calls=calls,
            synchronize=synchronize,
        )
        return self._keep(record, value)

    @contextmanager
    def window(self, name: str) -> Iterator[Window]:
        """Measure what happens inside, once; entered again, it is one more pass of `name`."""
        self._refuse_inside("a window")
        if name not in self._windows:
            cell = call_cell(self._test, self._unique(name))
            self._windows[name] = Window(cell, self._instruments, energy=self._energy)
        self._open = name
        try:
            with self._windows[name] as window:
                yield window
        finally:
            self._open = ""

    def run_cell(
        self,
        *,
        adapter: str,
        model: str,
        workload: Mapping[str, Any],
        precision: str = "fp32",
        device: str = "cpu",
        threads: int | None = None,
        options: Mapping[str, OptionValue] | None = None,
        budget_s: float | None = None,
    ) -> Record:
        """Measure a model in a worker process of its own, as `effmark run` does.

        Args:
            adapter: name of an installed adapter.
            model: a name, a folder, a file.
            workload: as in a suite: `{"decode": {"prompt_tokens": 32, "new_tokens": 16}}`.
            precision: one of the adapter's.
            device: as the adapter names it.
            threads: None for one per physical core.
            options: options of the adapter.
            budget_s: seconds of measuring.
        """
        self._refuse_inside("a cell")
        try:
            group = CellGroup(
                adapter=adapter, precision=(precision,), device=device, options=dict(options or {})
            )
            suite = Suite(
                suite="pytest",
                version=1,
                why="a test asks",
                models=(model,),
                cells=(group,),
                workloads=[dict(workload)],
                budget=Budget(process_s=budget_s or self._budget_s),
                threads=threads,
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SpecError(f"run_cell: {where}: {first['msg']}") from None
        records = self._run(suite)
        if len(records) != 1:
            raise SpecError(f"run_cell: {len(records)} cells, wants a workload without lists")
        self._keep(records[0], None)
        return records[0]

    def score(self, metric: str, items: Sequence[float | bool]) -> None:
        """Attach scores of items (right or wrong, 1 or 0) to the newest measurement.

        Raises:
            SpecError: nothing was measured yet, or there are no items.
        """
        if self.last is None or not items:
            raise SpecError(f"score {metric!r}: measure first, then give one value per item")
        measured = Measured(
            metric=metric,
            unit="ratio",
            samples=tuple(float(item) for item in items),
            estimator="mean",
            source="labels",
        )
        record = self.last.record
        changed = record.model_copy(update={"measurements": (*record.measurements, measured)})
        self._records[self._records.index(record)] = changed
        self.last = Measurement(changed, self.last.value)

    def add(self, record: Record) -> None:
        """Take a record that was measured elsewhere for this test."""
        self._keep(record, None)

    def records(self) -> list[Record]:
        """Return what was measured so far, windows last."""
        passed = (window.record() for window in self._windows.values())
        return [*self._records, *(self._once(record) for record in passed if record is not None)]

    def _once(self, record: Record) -> Record:
        """Return the record of a window, which says why it has no count where one was asked for."""
        if not self._bytecodes:
            return record
        detail = "a window runs once, at full speed; Python instructions are counted in calls"
        absent = Missing(metric="bytecodes_per_call", reason="not_applicable", detail=detail)
        return record.model_copy(update={"measurements": (*record.measurements, absent)})

    def _keep(self, record: Record, value: Any) -> Measurement:
        self._records.append(record)
        self.last = Measurement(record, value)
        return self.last

    def _run(self, suite: Suite) -> list[Record]:
        # what runs models is not imported for a test of a function
        from effmark.cache import default_cache
        from effmark.executors.session import Session
        from effmark.plan import make_plan

        plan = make_plan(suite, default_cache())
        command = ["pytest", *sys.argv[1:]]
        with self._instruments.turn(), tempfile.TemporaryDirectory() as folder:
            session = Session(plan, Path(folder), default_cache(), _Quiet(), command)
            return session.run({})

    def _refuse_inside(self, what: str) -> None:
        if self._open:
            raise SpecError(f"{what} inside the window {self._open!r} would measure twice")

    def _unique(self, name: str) -> str:
        """Return the name, with a number where this test has used it already."""
        tried, number = name, 1
        while tried in self._names:
            number += 1
            tried = f"{name} #{number}"
        self._names.add(tried)
        return tried


class _Quiet:
    """Observes a run without a word."""

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Ignore what a process does."""

    def cell(self, cell: Cell, text: str) -> None:
        """Ignore what a cell does."""

    def record(self, record: Record) -> None:
        """Ignore a record; it is returned in the end."""


def _refuse_lazy(function: Callable[..., Any]) -> None:
    """Refuse what does nothing when it is called."""
    lazy: dict[str, tuple[Callable[[object], bool], str]] = {
        "a coroutine function": (inspect.iscoroutinefunction, "asyncio.run(f(…))"),
        "an asynchronous generator function": (inspect.isasyncgenfunction, "asyncio.run(…)"),
        "a generator function": (inspect.isgeneratorfunction, "list(f(…))"),
    }
    for kind, (is_kind, remedy) in lazy.items():
        if is_kind(function):
            raise SpecError(
                f"{_name(function)} is {kind}: a call of it runs nothing; measure a function that "
                f"returns {remedy}"
            )


def _name(function: Callable[..., Any]) -> str:
    if isinstance(function, functools.partial):
        return _name(function.func)
    return str(getattr(function, "__name__", type(function).__name__))
