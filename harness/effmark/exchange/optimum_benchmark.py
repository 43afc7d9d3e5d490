"""optimum-benchmark reports as foreign records.

A `benchmark.json` holds `config` and `report`; a `benchmark_report.json` alone does not say what
ran, so the `benchmark_config.json` beside it is read, too. One report is one record: generation (
`prefill`, `decode`, `per_token`, `generate`) or one forward pass (`forward`, `call`).

* latencies are seconds, all of `values` is kept; MB is 10^6 bytes, kWh is 3.6 MJ;
* TTFT is their `prefill` (generate with one new token); TPOT is `decode` / (max_new_tokens - 1),
  which some backends get by subtracting the mean prefill: noted;
* energy comes from codecarbon, which measures some parts and models others without saying which in
  the report: it counts as an estimate.

With beams a step makes several tokens, of which one is kept: rates stay missing then. Format:
huggingface/optimum-benchmark, optimum_benchmark/{benchmark,trackers,scenarios}.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from effmark.errors import SpecError
from effmark.exchange.foreign import Imported, absent, machine, parsed, ratio, read_json, series
from effmark.record import Environment, Measurement
from effmark.spec import Decode, Infer, OptionValue

__all__ = ["read_optimum_benchmark"]

_TOOL = "optimum-benchmark"
_MB = 1e6
_KWH = 3.6e6
_PER_TOKEN = ("pytorch", "onnxruntime", "openvino", "neural-compressor", "ipex")
"""Backends whose decode is timed token by token; others subtract the mean prefill."""
_DEFAULT_TOKENS = 100
"""optimum-benchmark's own max_new_tokens."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())


class _Latency(_Part):
    unit: str = "s"
    values: list[float] = Field(min_length=1)


class _Memory(_Part):
    unit: str = "MB"
    max_ram: float | None = None
    max_allocated: float | None = None
    max_reserved: float | None = None


class _Energy(_Part):
    unit: str = "kWh"
    total: float = Field(ge=0)


class _Target(_Part):
    latency: _Latency | None = None
    memory: _Memory | None = None
    energy: _Energy | None = None


class _Backend(_Part):
    name: str
    version: str | None = None
    model: str
    device: str | None = None
    task: str | None = None


class _Scenario(_Part):
    name: str = "inference"
    input_shapes: dict[str, Any] = {}
    generate_kwargs: dict[str, Any] = {}


class _Config(_Part):
    backend: _Backend
    scenario: _Scenario
    environment: dict[str, Any] = {}


def read_optimum_benchmark(path: Path) -> Iterator[Imported]:
    """Yield the one record that a report makes.

    Raises:
        SpecError: not such a report, another scenario, or the config is missing.
    """
    body = read_json(path)
    if not isinstance(body, dict):
        raise SpecError(f"report {str(path)!r} is no report of optimum-benchmark: not an object")
    config, report = _both(body, path)
    if config.scenario.name != "inference":
        raise SpecError(
            f"report {str(path)!r}: scenario {config.scenario.name!r}; only inference is imported"
        )
    targets = {
        name: parsed(_Target, told, path, f"report.{name}")
        for name, told in report.items() if isinstance(told, dict)
    }  # fmt: skip
    _check_units(targets, path)
    yield _imported(config, targets, path)


def _both(body: dict[str, Any], path: Path) -> tuple[_Config, dict[str, Any]]:
    if "config" in body and isinstance(body.get("report"), dict):
        return parsed(_Config, body["config"], path, "config"), body["report"]
    beside = path.with_name("benchmark_config.json")
    if not beside.is_file():
        raise SpecError(
            f"report {str(path)!r} does not say what ran; give benchmark.json, or put "
            "benchmark_config.json beside it"
        )
    return parsed(_Config, read_json(beside), beside, "config"), body


def _check_units(targets: dict[str, _Target], path: Path) -> None:
    """Refuse units that this version of the format does not have, instead of guessing."""
    for name, target in targets.items():
        parts = ((target.latency, "s"), (target.memory, "MB"), (target.energy, "kWh"))
        for part, unit in parts:
            if part is not None and part.unit != unit:
                raise SpecError(
                    f"report {str(path)!r}: report.{name}: unit {part.unit!r}, wants {unit!r}"
                )


def _imported(config: _Config, targets: dict[str, _Target], path: Path) -> Imported:
    backend = config.backend
    batch = int(config.scenario.input_shapes.get("batch_size") or 1)
    workload: Decode | Infer
    if "decode" in targets or "prefill" in targets:
        workload, measured = _generation(config, targets, batch)
    else:
        workload, measured = _forward(targets, batch)
    if not any(m.kind == "measured" for m in measured):
        raise SpecError(f"report {str(path)!r} holds no latency, memory or energy")
    known = (backend.model_extra or {}).get
    notes = {"targets": ", ".join(targets)}
    if "decode" in targets and backend.name not in _PER_TOKEN:
        notes["tpot_s"] = "decode is generate less the mean prefill, as this backend is timed"
    revision = (known("model_kwargs") or {}).get("revision")
    return Imported(
        tool=_TOOL, tool_version=f"{backend.name} {backend.version or ''}".strip(),
        model=backend.model, task="lm" if isinstance(workload, Decode) else "classifier", kind="hf",
        adapter=f"{_TOOL}:{backend.name}", precision=_precision(known),
        device=backend.device or "unknown", threads=int(known("intra_op_num_threads") or 1),
        workload=workload, created=_created(path), environment=_machine(config.environment),
        measurements=[*measured, *_of_process(targets)], options=_options(known),
        identity={"revision": revision, "task": backend.task}, notes=notes,
    )  # fmt: skip


def _generation(
    config: _Config, targets: dict[str, _Target], batch: int
) -> tuple[Decode, list[Measurement]]:
    shapes, told = config.scenario.input_shapes, config.scenario.generate_kwargs
    prompt = int(shapes.get("sequence_length") or 1)
    tokens = int(told.get("max_new_tokens") or _DEFAULT_TOKENS)
    workload = Decode(prompt_tokens=prompt, new_tokens=tokens, batch=batch)
    found: list[Measurement] = []
    one_beam = int(told.get("num_beams") or 1) == 1
    for name, values in (("ttft_s", _values(targets, "prefill")),
                         ("e2e_latency_s", _values(targets, "generate")),
                         ("itl_s", _values(targets, "per_token"))):  # fmt: skip
        if values:
            found.append(series(name, values, _TOOL))
    decode = _values(targets, "decode")
    if decode and tokens > 1:
        found.append(series("tpot_s", [v / (tokens - 1) for v in decode], _TOOL))
    rates = (("prefill_token_throughput", "prefill", prompt),
             ("decode_token_throughput", "decode", tokens - 1),
             ("output_token_throughput", "generate", tokens))  # fmt: skip
    for name, target, count in rates:
        values = _values(targets, target)
        if values and count and one_beam:
            found.append(ratio(name, [float(batch * count)] * len(values), values, _TOOL))
        elif values and count:
            found.append(absent(name, "several beams: which tokens count is not in the report"))
    energy = targets["generate"].energy if "generate" in targets else None
    if energy is not None and energy.total > 0 and one_beam:
        joules = [energy.total * _KWH]
        found.append(ratio("energy_j_per_output_token", joules, [float(batch * tokens)],
                           "model_estimate"))  # fmt: skip
    return workload, found + _peak(targets, ("generate", "decode", "prefill"))


def _forward(targets: dict[str, _Target], batch: int) -> tuple[Infer, list[Measurement]]:
    name = next((n for n in ("forward", "call") if n in targets), "")
    found: list[Measurement] = []
    values = _values(targets, name)
    if values:
        found.append(series("latency_s", values, _TOOL))
    return Infer(batch=batch), found + _peak(targets, (name,))


def _values(targets: dict[str, _Target], name: str) -> list[float]:
    """Return the latencies of a target in seconds; negative ones are a fault of subtraction."""
    target = targets.get(name)
    if target is None or target.latency is None:
        return []
    if min(target.latency.values) <= 0:
        raise SpecError(
            f"report.{name}.latency: {min(target.latency.values)!r} s, wants times above 0"
        )
    return target.latency.values


def _peak(targets: dict[str, _Target], names: tuple[str, ...]) -> list[Measurement]:
    """Return the largest memory of the named targets."""
    memories = [t.memory for n in names if (t := targets.get(n)) and t.memory is not None]
    fields = (("peak_memory_b", "max_ram"), ("device_memory_b", "max_allocated"),
              ("device_reserved_b", "max_reserved"))  # fmt: skip
    found: list[Measurement] = []
    for name, key in fields:
        values = [v * _MB for m in memories if (v := getattr(m, key)) is not None and v > 0]
        if values:
            found.append(series(name, [max(values)], _TOOL))
    return found


def _of_process(targets: dict[str, _Target]) -> list[Measurement]:
    loads = [n for n in ("load_model", "load") if n in targets]
    found: list[Measurement] = [
        series("load_s", values, _TOOL) for n in loads if (values := _values(targets, n))
    ]
    first = [n for n in ("first_generate", "first_forward", "first_call") if n in targets]
    found += [
        series("first_inference_s", values, _TOOL) for n in first if (values := _values(targets, n))
    ]
    for name in loads:
        memory = targets[name].memory
        if memory is not None and memory.max_ram:
            found.append(series("load_memory_b", [memory.max_ram * _MB], _TOOL))
    return found


def _precision(known: Any) -> str:
    """Return the scheme of the weights, else their type; `unknown` where neither is said."""
    for name in ("quantization_scheme", "weight_format", "dtype", "torch_dtype"):
        if known(name):
            return str(known(name))
    return "unknown"


def _options(known: Any) -> dict[str, OptionValue]:
    """Return the switches that were turned on."""
    names = (
        "torch_compile",
        "attn_implementation",
        "use_merged",
        "use_io_binding",
        "half",
        "reshape",
    )
    return {n: v for n in names if isinstance(v := known(n), bool | str) and v}


def _machine(told: dict[str, Any]) -> Environment:
    gpus = told.get("gpu")
    names = gpus if isinstance(gpus, list) else [gpus] if gpus else []
    packages = {
        name.removesuffix("_version"): str(value) for name, value in told.items()
        if name.endswith("_version") and value and name != "python_version"
    }  # fmt: skip
    ram_mb, cores = told.get("cpu_ram_mb"), told.get("cpu_count")
    return machine(
        _text(told.get("cpu")), [str(name) for name in names], system=_text(told.get("platform")),
        python=_text(told.get("python_version")), packages=packages,
        cores_count=int(cores) if cores else None,
        memory_b=round(float(ram_mb) * _MB) if ram_mb else None,
    )  # fmt: skip


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _created(path: Path) -> str:
    """Return when the file was written: the report holds no time."""
    moment = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return moment.isoformat(timespec="seconds")
