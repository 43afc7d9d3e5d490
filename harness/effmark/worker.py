"""The worker: a fresh process that holds one model on one runtime and measures its cells.

It obeys messages on an inherited pipe (`prepare`, `prove`, `load`, `run`, `close`; `begin`, `step`,
`align`, `finish` where several workers take turns) and sends back what
came out, one record per cell. Between messages it blocks in the kernel, so that parked workers
cost nothing. It owns file descriptor 1: whatever a framework prints goes to the log.

Started by an executor as `python -m effmark.worker FD`; never by people.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from effmark.adapter import Adapter, ImportsRuntime, LoadRequest
from effmark.channel import Channel
from effmark.environment import capture_environment
from effmark.probes.contract import Target
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.probes.memory import PeakMemory
from effmark.probes.tables import rates_used
from effmark.proof import prove
from effmark.record import (
    Environment,
    Measured,
    Measurement,
    Missing,
    ModelFacts,
    Proof,
    Settings,
    SuiteRef,
)
from effmark.registry import adapter_class
from effmark.runner import CellRun, Identity, classify, first_inference
from effmark.schema import content_hash
from effmark.spec import Cell, Rates, Tasks
from effmark.workloads import Context
from effmark.workloads.overhead import measure_overhead

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
    proof: Proof | None
    first: Measured | None = None


def main() -> None:
    """Serve messages until the pipe closes."""
    _die_with_parent()
    counters = ProcessCounters()  # before any framework starts a thread
    _Worker(Channel(Connection(int(sys.argv[1]))), counters).serve()
    counters.close()


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, so that no worker is orphaned."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Worker:
    """Does what messages say; every message gets one answer."""

    def __init__(self, channel: Channel, counters: ProcessCounters) -> None:
        self._channel = channel
        self._counters = counters
        self._loaded: _Loaded | None = None
        self._run: CellRun | None = None
        self._answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "prepare": self._prepare,
            "prove": self._prove,
            "fetch": self._fetch,
            "load": self._load,
            "run": self._measure,
            "begin": self._begin,
            "step": self._step,
            "align": self._align,
            "finish": self._finish,
        }

    def serve(self) -> None:
        """Answer messages until `close` or the end of the pipe."""
        while True:
            try:
                message = self._channel.receive()
            except EOFError:
                break
            if message["op"] == "close":
                break
            try:
                self._channel.send("answer", **self._answers[message["op"]](message))
            except Exception as error:  # noqa: BLE001 - whatever an adapter does is an outcome
                outcome, detail = classify(error)
                self._channel.send("failed", outcome=outcome, detail=detail)
        if self._loaded is not None:
            self._loaded.adapter.close()
            self._loaded.energy.close()

    def _prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        adapter_class(message["adapter"]).prepare(LoadRequest.model_validate(message["request"]))
        return {}

    def _prove(self, message: dict[str, Any]) -> dict[str, Any]:
        request = LoadRequest.model_validate(message["request"])
        found = prove(message["adapter"], request, message["memory_b"])
        return {"proof": found and found.model_dump(mode="json")}

    def _fetch(self, message: dict[str, Any]) -> dict[str, Any]:
        from effmark.quality.evaluation import fetch_task

        fetch_task(Tasks.model_validate(message["task"]), Path(message["cache"]))
        return {}

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        self._loaded = _load(message)
        return {"facts": self._loaded.facts.model_dump(mode="json")}

    def _measure(self, message: dict[str, Any]) -> dict[str, Any]:
        self._begin(message)
        return self._finish({"interleaved": ""})

    def _begin(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._loaded is not None
        self._run = _begin(self._channel, message, self._loaded, self._counters)
        return {"warm": self._run.warm, "done": self._run.done}

    def _step(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._run is not None
        self._run.step()
        return {"warm": self._run.warm, "done": self._run.done}

    def _align(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._run is not None
        self._run.align(message["partners"])
        return {}

    def _finish(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._run is not None
        assert self._loaded is not None
        return {"record": _record(self._run, self._loaded, message["interleaved"])}


def _load(message: dict[str, Any]) -> _Loaded:
    request = LoadRequest.model_validate(message["request"])
    memory = PeakMemory()
    memory.start()
    start = time.monotonic()
    adapter_type = adapter_class(message["adapter"])
    if isinstance(adapter_type, ImportsRuntime):
        adapter_type.import_runtime()
    imported = time.monotonic()
    adapter = adapter_type()
    adapter.load(request)
    adapter.synchronize()
    ready = time.monotonic()
    load_memory = memory.stop("load_memory_b")
    energy = EnergyMeter(_target(request))  # its process starts while we go on
    facts = adapter.facts()
    measurements: tuple[Measurement, ...] = (
        _scalar("import_s", "s", imported - start, "clock"),
        _scalar("load_s", "s", ready - imported, "clock"),
        load_memory,
        _scalar("model_size_b", "B", facts.weights_b, "tensors"),
        _scalar("effective_bits", "bit", facts.effective_bits, "tensors"),
        measure_overhead(),
    )
    if facts.kv_bytes_per_token is not None:
        kv = _scalar("kv_bytes_per_token", "B", facts.kv_bytes_per_token, "analytic")
        measurements = (*measurements, kv)
    elif "kv" in facts.unknown:
        detail = facts.unknown["kv"]
        unknown = Missing(metric="kv_bytes_per_token", reason="not_present", detail=detail)
        measurements = (*measurements, unknown)
    if isinstance(compile_s := facts.runtime.get("compile_s"), float):
        measurements = (*measurements, _scalar("compile_s", "s", compile_s, "clock"))
    environment = capture_environment(message["variables"]).model_copy(
        update={"state": message["state"], "unknown": message["unknown"]}
    )
    process_id = message["process_id"]
    proof = message["proof"] and Proof.model_validate(message["proof"])
    return _Loaded(adapter, facts, request, measurements, energy, environment, process_id, proof)


def _target(request: LoadRequest) -> Target:
    """Return whose energy is asked for, with the identity of the devices where it is known."""
    target = Target(device=request.device, pids=(os.getpid(),))
    torch: Any = sys.modules.get("torch")
    if target.kind == "cuda" and torch is not None and torch.cuda.is_available():
        found = (torch.cuda.get_device_properties(index).uuid for index in target.indices)
        target = target.model_copy(update={"uuids": tuple(f"GPU-{uuid}" for uuid in found)})
    return target


def _scalar(metric: str, unit: str, value: float, source: str) -> Measured:
    return Measured(metric=metric, unit=unit, samples=(float(value),), source=source)


def _begin(
    channel: Channel, message: dict[str, Any], loaded: _Loaded, counters: ProcessCounters
) -> CellRun:
    """Return the run of a cell; its blocks are still to come."""
    last = 0.0

    def progress(text: str) -> None:
        nonlocal last
        if time.monotonic() - last > _PROGRESS_S:
            last = time.monotonic()
            channel.send("progress", text=text)

    context = Context(
        adapter=loaded.adapter,
        facts=loaded.facts,
        cell=Cell.model_validate(message["cell"]),
        cache=loaded.request.cache,
        counters=counters,
        energy=loaded.energy,
        settings=Settings.model_validate(message["settings"]),
        is_reference=message["is_reference"],
        reference=content_hash([message["reference"], loaded.environment.packages]),
        progress=progress,
        sequences=loaded.request.batch,
    )
    identity = Identity(
        run_id=message["run_id"],
        process_id=loaded.process_id,
        suite=SuiteRef.model_validate(message["suite"]),
        environment=loaded.environment,
        measurements=loaded.measurements,
        proof=loaded.proof,
        command=message["command"],
        rates=rates_used(
            Rates.model_validate(message["rates"]), loaded.environment, loaded.request.device
        ),
    )
    return CellRun(context, identity, PeakMemory(ignored_pids=loaded.energy.pids))


def _record(run: CellRun, loaded: _Loaded, interleaved: str) -> dict[str, Any]:
    """Return the record of a cell as it travels."""
    record = run.finish(interleaved)
    if loaded.first is None:
        loaded.first = first_inference(record)
    if loaded.first is not None:
        record = record.model_copy(update={"measurements": (*record.measurements, loaded.first)})
    return record.model_dump(mode="json")


_PROGRESS_S = 0.5
"""Shortest time between two progress messages; a message costs the workload a few microseconds."""


if __name__ == "__main__":
    main()
