"""The worker: a fresh process that holds one model on one runtime and measures its cells.

It obeys messages on an inherited pipe (`prepare`, `load`, `run`, `close`) and sends back what
came out, one record per cell. Between messages it blocks in the kernel, so that parked workers
cost nothing. It owns file descriptor 1: whatever a framework prints goes to the log.

Started by an executor as `python -m effmark.worker FD`; never by people.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from effmark.adapter import Adapter, LoadRequest
from effmark.channel import Channel
from effmark.environment import capture_environment
from effmark.probes.counters import ProcessCounters
from effmark.probes.discovery import open_energy_meter
from effmark.probes.energy import EnergyMeter
from effmark.probes.memory import PeakMemory
from effmark.record import Environment, Measured, Measurement, ModelFacts, Settings, SuiteRef
from effmark.registry import adapter_class
from effmark.runner import Identity, classify, first_inference, run_cell
from effmark.spec import Cell
from effmark.workloads import Context

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


@dataclass
class _Loaded:
    """What a worker holds after `load`."""

    adapter: Adapter
    facts: ModelFacts
    request: LoadRequest
    measurements: tuple[Measurement, ...]
    energy: EnergyMeter
    environment: Environment
    process_id: str
    first: Measured | None = None


def main() -> None:
    """Serve messages until the pipe closes."""
    _die_with_parent()
    counters = ProcessCounters()  # before any framework starts a thread
    channel = Channel(Connection(int(sys.argv[1])))
    loaded: _Loaded | None = None
    while True:
        try:
            message = channel.receive()
        except EOFError:
            break
        if message["op"] == "close":
            break
        try:
            if message["op"] == "prepare":
                _prepare(message)
                channel.send("prepared")
            elif message["op"] == "load":
                loaded = _load(message)
                channel.send("loaded", facts=loaded.facts.model_dump(mode="json"))
            elif loaded is not None:
                _run(channel, message, loaded, counters)
        except Exception as error:  # noqa: BLE001 - whatever an adapter does is an outcome
            outcome, detail = classify(error)
            channel.send("failed", outcome=outcome, detail=detail)
    if loaded is not None:
        loaded.adapter.close()
        loaded.energy.close()
    counters.close()


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, so that no worker is orphaned."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prepare(message: dict[str, Any]) -> None:
    adapter_class(message["adapter"]).prepare(LoadRequest.model_validate(message["request"]))


def _load(message: dict[str, Any]) -> _Loaded:
    request = LoadRequest.model_validate(message["request"])
    memory = PeakMemory()
    memory.start()
    start = time.monotonic()
    adapter_type = adapter_class(message["adapter"])
    for module in getattr(adapter_type, "modules", ()):
        import_module(module)
    imported = time.monotonic()
    adapter = adapter_type()
    adapter.load(request)
    adapter.synchronize()
    ready = time.monotonic()
    facts = adapter.facts()
    measurements: tuple[Measurement, ...] = (
        _scalar("import_s", "s", imported - start, "clock"),
        _scalar("load_s", "s", ready - imported, "clock"),
        memory.stop("load_memory_b"),
        _scalar("model_size_b", "B", facts.weights_b, "tensors"),
        _scalar("effective_bits", "bit", facts.effective_bits, "tensors"),
    )
    if facts.kv_bytes_per_token is not None:
        kv = _scalar("kv_bytes_per_token", "B", facts.kv_bytes_per_token, "analytic")
        measurements = (*measurements, kv)
    energy = open_energy_meter(request.device)
    environment = capture_environment(message["variables"])
    process_id = message["process_id"]
    return _Loaded(adapter, facts, request, measurements, energy, environment, process_id)


def _scalar(metric: str, unit: str, value: float, source: str) -> Measured:
    return Measured(metric=metric, unit=unit, samples=(float(value),), source=source)


def _run(
    channel: Channel, message: dict[str, Any], loaded: _Loaded, counters: ProcessCounters
) -> None:
    cell = Cell.model_validate(message["cell"])
    last = 0.0

    def progress(text: str) -> None:
        nonlocal last
        if time.monotonic() - last > _PROGRESS_S:
            last = time.monotonic()
            channel.send("progress", text=text)

    context = Context(
        adapter=loaded.adapter,
        facts=loaded.facts,
        cell=cell,
        cache=loaded.request.cache,
        counters=counters,
        energy=loaded.energy,
        settings=Settings.model_validate(message["settings"]),
        is_reference=message["is_reference"],
        progress=progress,
    )
    identity = Identity(
        run_id=message["run_id"],
        process_id=loaded.process_id,
        suite=SuiteRef.model_validate(message["suite"]),
        environment=loaded.environment,
        measurements=loaded.measurements,
        command=message["command"],
    )
    record = run_cell(context, identity, PeakMemory(ignored_pids=loaded.energy.pids))
    if loaded.first is None:
        loaded.first = first_inference(record)
    if loaded.first is not None:
        record = record.model_copy(update={"measurements": (*record.measurements, loaded.first)})
    channel.send("record", record=record.model_dump(mode="json"))


_PROGRESS_S = 0.5
"""Shortest time between two progress messages; a message costs the workload a few microseconds."""


if __name__ == "__main__":
    main()
