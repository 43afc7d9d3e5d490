"""optimum-benchmark reports as foreign records.

A `benchmark.json` holds `config` and `report`; a `benchmark_report.json` alone does not say what
ran, so the `benchmark_config.json` beside it is read, too. One report is one record: generation (
`prefill`, `decode`, `per_token`, `generate`) or one forward pass (`forward`, `call`).

* latencies are seconds, all of `values` is kept; MB is 10^6 bytes, kWh is 3.6 MJ;
* TTFT is their `prefill` (generate with one new token); TPOT is `decode` / (max_new_tokens - 1),
  which some backends get by subtracting the mean prefill: noted;
* energy comes from codecarbon, which measures some parts and models others without saying which in
  the report: it counts as an estimate.

With beams a step makes several tokens, of which one is kept: rates stay missing then. A number that
cannot be (a negative decode, where the mean prefill was longer) is missing; the others come in.
Format:
huggingface/optimum-benchmark, optimum_benchmark/{benchmark,trackers,scenarios}.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from effmark.errors import SpecError
from effmark.exchange.foreign import (
    MOST,
    Imported,
    LeftOut,
    absent,
    is_time,
    machine,
    parsed,
    ratio,
    rejected,
    series,
)
from effmark.exchange.places import model_name
from effmark.exchange.report_files import read_json
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
_TARGETS = frozenset(
    ("load_model", "load", "first_generate", "first_forward", "first_call", "prefill", "decode",
     "per_token", "generate", "forward", "call")
)  # fmt: skip
"""What is read of a report."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=(), strict=True)


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
    total: float


class _Target(_Part):
    latency: _Latency | None = None
    memory: _Memory | None = None
    energy: _Energy | None = None


_Count = Annotated[int, Field(ge=1, le=MOST)]


class _Backend(_Part):
    name: str
    version: str | None = None
    model: str = Field(min_length=1)
    device: str | None = None
    task: str | None = None
    intra_op_num_threads: _Count | None = None
    model_kwargs: dict[str, Any] | None = None


class _Shapes(_Part):
    batch_size: _Count | None = None
    sequence_length: _Count | None = None


class _Generation(_Part):
    max_new_tokens: _Count | None = None
    num_beams: _Count | None = None


class _Scenario(_Part):
    name: str = "inference"
    input_shapes: _Shapes = _Shapes()
    generate_kwargs: _Generation = _Generation()


class _Config(_Part):
    backend: _Backend
    scenario: _Scenario
    environment: dict[str, Any] = {}


def read_optimum_benchmark(path: Path) -> Iterator[Imported | LeftOut]:
    """Yield the one record that a report makes.

    Raises:
        SpecError: not such a report, another scenario, or the config is missing.
    """
    body = read_json(path)
    if not isinstance(body, dict):
        raise SpecError("no report of optimum-benchmark: not an object")
    config, report = _both(body, path)
    if config.scenario.name != "inference":
        raise SpecError(f"scenario {config.scenario.name!r}; only inference is imported")
    targets = {
        name: parsed(_Target, told, f"report.{name}")
        for name, told in report.items() if name in _TARGETS and told is not None
    }  # fmt: skip
    _check_units(targets)
    yield _imported(config, targets, path)


def _both(body: dict[str, Any], path: Path) -> tuple[_Config, dict[str, Any]]:
    if "config" in body and isinstance(body.get("report"), dict):
        return parsed(_Config, body["config"], "config"), body["report"]
    beside = path.with_name("benchmark_config.json")
    if not beside.is_file():
        raise SpecError(
            "does not say what ran; give benchmark.json, or put benchmark_config.json beside it"
        )
    return parsed(_Config, read_json(beside), beside.name), body


def _check_units(targets: dict[str, _Target]) -> None:
    """Refuse units that this version of the format does not have, instead of guessing."""
    for name, target in targets.items():
        parts = ((target.latency, "s"), (target.memory, "MB"), (target.energy, "kWh"))
        for part, unit in parts:
            if part is not None and part.unit != unit:
                raise SpecError(f"report.{name}: unit {part.unit!r}, wants {unit!r}")


def _imported(config: _Config, targets: dict[str, _Target], path: Path) -> Imported:
    backend = config.backend
    batch = config.scenario.input_shapes.batch_size or 1
    workload: Decode | Infer
    if "decode" in targets or "prefill" in targets:
        workload, measured = _generation(config, targets, batch)
    else:
        workload, measured = _forward(targets, batch)
    if not any(m.kind == "measured" for m in measured):
        wrong = [m.detail for m in measured if m.kind == "missing"]
        raise SpecError("; ".join([*wrong, "holds no latency, memory or energy"]))
    known = (backend.model_extra or {}).get
    notes = {"targets": ", ".join(targets)}
    if "decode" in targets and backend.name not in _PER_TOKEN:
        notes["tpot_s"] = "decode is generate less the mean prefill, as this backend is timed"
    revision = (backend.model_kwargs or {}).get("revision")
    return Imported(
        tool=_TOOL, tool_version=f"{backend.name} {backend.version or ''}".strip(),
        model=model_name(backend.model), task="lm" if isinstance(workload, Decode) else
        "classifier", kind="hf", adapter=f"{_TOOL}:{backend.name}", precision=_precision(known),
        device=backend.device or "unknown", threads=backend.intra_op_num_threads or 1,
        workload=workload, created=_created(path), environment=_machine(config.environment),
        measurements=[*measured, *_of_process(targets)], options=_options(known),
        identity={"revision": str(revision), "task": backend.task, "path": backend.model},
        notes=notes,
    )  # fmt: skip


def _generation(
    config: _Config, targets: dict[str, _Target], batch: int
) -> tuple[Decode, list[Measurement]]:
    told = config.scenario.generate_kwargs
    prompt = config.scenario.input_shapes.sequence_length or 1
    tokens = told.max_new_tokens or _DEFAULT_TOKENS
    workload = Decode(prompt_tokens=prompt, new_tokens=tokens, batch=batch)
    found = [
        *_times("ttft_s", targets, "prefill"),
        *_times("e2e_latency_s", targets, "generate"),
        *_times("itl_s", targets, "per_token"),
    ]
    if tokens > 1:
        found += _times("tpot_s", targets, "decode", tokens - 1)
    beams = told.num_beams or 1
    rates = (("prefill_token_throughput", "prefill", prompt),
             ("decode_token_throughput", "decode", tokens - 1),
             ("output_token_throughput", "generate", tokens))  # fmt: skip
    for name, target, count in rates:
        found += _rate(name, targets, target, batch * count, beams)
    if beams == 1:
        found += _energy(targets, batch * tokens)
    return workload, found + _peak(targets, ("generate", "decode", "prefill"))


def _rate(
    name: str, targets: dict[str, _Target], target: str, count: int, beams: int
) -> list[Measurement]:
    values = _seconds(targets, target)
    if isinstance(values, str):
        return [rejected(name, values)]
    if not values or not count:
        return []
    if beams > 1:
        return [absent(name, "several beams: which tokens count is not in the report")]
    return [ratio(name, [float(count)] * len(values), values, _TOOL)]


def _energy(targets: dict[str, _Target], tokens: int) -> list[Measurement]:
    """Return joules per token, from the kWh of all tokens that `generate` gave."""
    name = "energy_j_per_output_token"
    energy = targets["generate"].energy if "generate" in targets else None
    if energy is None or energy.total == 0:
        return []
    if not 0 < energy.total < MOST:
        return [rejected(name, f"report.generate.energy.total: {energy.total!r} kWh cannot be")]
    return [ratio(name, [energy.total * _KWH], [float(tokens)], "model_estimate")]


def _forward(targets: dict[str, _Target], batch: int) -> tuple[Infer, list[Measurement]]:
    name = next((n for n in ("forward", "call") if n in targets), "")
    return Infer(batch=batch), [*_times("latency_s", targets, name), *_peak(targets, (name,))]


def _times(
    name: str, targets: dict[str, _Target], target: str, parts: int = 1
) -> list[Measurement]:
    """Return the latencies of a target as a metric, each shared by so many parts."""
    values = _seconds(targets, target)
    if isinstance(values, str):
        return [rejected(name, values)]
    return [series(name, [v / parts for v in values], _TOOL)] if values else []


def _seconds(targets: dict[str, _Target], name: str) -> list[float] | str:
    """Return the latencies of a target in seconds, or what is wrong with them."""
    target = targets.get(name)
    if target is None or target.latency is None:
        return []
    values = target.latency.values
    wrong = [v for v in values if not is_time(v)]
    if not wrong:
        return values
    many = f", {len(wrong)} of {len(values)} values" if len(values) > 1 else ""
    return f"report.{name}.latency: {wrong[0]!r} s, wants times above 0{many}"


def _peak(targets: dict[str, _Target], names: tuple[str, ...]) -> list[Measurement]:
    """Return the largest memory of the named targets."""
    fields = (("peak_memory_b", "max_ram"), ("device_memory_b", "max_allocated"),
              ("device_reserved_b", "max_reserved"))  # fmt: skip
    return [found for name, key in fields for found in _memory(name, targets, names, key)]


def _memory(
    name: str, targets: dict[str, _Target], names: Sequence[str], key: str
) -> list[Measurement]:
    values = [
        (target, value)
        for target in names if target in targets
        if (value := getattr(targets[target].memory, key, None))
    ]  # fmt: skip
    for target, value in values:
        if not 0 < value * _MB < MOST:
            return [rejected(name, f"report.{target}.memory.{key}: {value!r} MB cannot be")]
    return [series(name, [max(v for _, v in values) * _MB], _TOOL)] if values else []


def _of_process(targets: dict[str, _Target]) -> list[Measurement]:
    loads = [n for n in ("load_model", "load") if n in targets][:1]
    first = [n for n in ("first_generate", "first_forward", "first_call") if n in targets][:1]
    return [
        *(found for n in loads for found in _times("load_s", targets, n)),
        *(found for n in first for found in _times("first_inference_s", targets, n)),
        *_memory("load_memory_b", targets, loads, "max_ram"),
    ]


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
    return machine(
        _text(told.get("cpu")), [str(name) for name in names], system=_text(told.get("platform")),
        python=_text(told.get("python_version")), packages=packages,
        cores_count=_count(told.get("cpu_count"), 1), memory_b=_count(told.get("cpu_ram_mb"), _MB),
    )  # fmt: skip


def _count(value: Any, unit: float) -> int | None:
    """Return a number of the machine as a whole number of units, None for what cannot be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value * unit) if 0 < value <= MOST / unit else None


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _created(path: Path) -> str:
    """Return when the file was written: the report holds no time."""
    moment = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    return moment.isoformat(timespec="seconds")
