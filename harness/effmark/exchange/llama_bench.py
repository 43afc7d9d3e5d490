"""llama-bench reports (`-o json`, `-o jsonl`) as foreign records.

Each entry is one test: `n_prompt` tokens read (pp), `n_gen` tokens generated after `n_depth` (tg),
or both (pg), with the nanoseconds of every repetition. What they mean here:

* pp: prefill tok/s. Not TTFT: llama-bench neither tokenises nor samples.
* tg: decode tok/s and seconds per token (TPOT) over all `n_gen` steps; the prompt is the depth, at
  least the one token that starts a sequence.
* pg: seconds from start to last token, output tok/s over that time.

`avg_ts` is a mean of rates and counts prompt tokens in pg; the rates here are tokens over seconds
of all repetitions. Format: ggml-org/llama.cpp, tools/llama-bench (README, JSON output).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from effmark.errors import SpecError
from effmark.exchange.foreign import Imported, machine, parsed, ratio, read_json, series
from effmark.record import Measured
from effmark.spec import Decode, OptionValue, Prefill

__all__ = ["read_llama_bench"]

_TOOL = "llama-bench"
_NS = 1e-9
_DEFAULTS: dict[str, OptionValue] = {
    "n_batch": 2048, "n_ubatch": 512, "type_k": "f16", "type_v": "f16", "n_gpu_layers": -1,
    "split_mode": "layer", "no_kv_offload": False, "flash_attn": -1, "use_mmap": True,
    "embeddings": False, "n_cpu_moe": 0, "tensor_split": "0.00", "tensor_buft_overrides": "none",
}  # fmt: skip
"""llama-bench's own defaults: an option that differs is part of the configuration."""
_SIZES = {" - small": "_s", " - medium": "_m", " - large": "_l"}


class _Entry(BaseModel):
    """The fields of an entry that are read; others are ignored, whichever version wrote them."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())

    build_commit: str = ""
    build_number: int = 0
    cpu_info: str = ""
    gpu_info: str = ""
    backends: str = ""
    model_filename: str = Field(min_length=1)
    model_type: str = ""
    model_size: int | None = Field(default=None, gt=0)
    model_n_params: int | None = Field(default=None, gt=0)
    n_threads: int = Field(default=1, gt=0)
    n_prompt: int = Field(ge=0)
    n_gen: int = Field(ge=0)
    n_depth: int = Field(default=0, ge=0)
    test_time: str = ""
    avg_ns: float | None = Field(default=None, gt=0)
    samples_ns: list[float] = []


def read_llama_bench(path: Path) -> Iterator[Imported]:
    """Yield what each test of a report says.

    Raises:
        SpecError: not a report of llama-bench, or a value that cannot be.
    """
    body = read_json(path)
    entries = body if isinstance(body, list) else [body]
    if not entries:
        raise SpecError(f"report {str(path)!r} holds no test of llama-bench")
    for index, entry in enumerate(entries):
        told = parsed(_Entry, entry, path, f"entry {index}")
        yield _imported(told, path, index)


def _imported(entry: _Entry, path: Path, index: int) -> Imported:
    seconds = _seconds(entry, path, index)
    workload, measured = _measured(entry, seconds, path, index)
    build = f"llama.cpp {entry.build_commit} ({entry.build_number})" if entry.build_commit else ""
    return Imported(
        tool=_TOOL, tool_version=build, model=PurePath(entry.model_filename).stem, task="lm",
        kind="gguf", adapter=_TOOL, precision=_precision(entry.model_type),
        device=_device(entry.backends), threads=entry.n_threads, workload=workload,
        created=entry.test_time or "1970-01-01T00:00:00Z",
        environment=machine(entry.cpu_info, [entry.gpu_info] if entry.gpu_info else []),
        measurements=[*measured, *_of_model(entry)], options=_options(entry),
        identity={"type": entry.model_type, "size_b": entry.model_size,
                  "parameters": entry.model_n_params},
        notes={"test": _test_name(entry), "n": f"{len(seconds)} repetitions"},
    )  # fmt: skip


def _seconds(entry: _Entry, path: Path, index: int) -> list[float]:
    """Return the seconds of every repetition; the mean alone where only that was kept."""
    nanoseconds = entry.samples_ns or ([entry.avg_ns] if entry.avg_ns else [])
    if not nanoseconds or min(nanoseconds) <= 0:
        raise SpecError(
            f"report {str(path)!r}: entry {index}: samples_ns wants times above 0, "
            f"got {entry.samples_ns!r:.80}"
        )
    return [_NS * value for value in nanoseconds]


def _measured(
    entry: _Entry, seconds: list[float], path: Path, index: int
) -> tuple[Decode | Prefill, list[Measured]]:
    prompt, output = entry.n_prompt, entry.n_gen
    if prompt and output:
        tokens = [float(output)] * len(seconds)
        return Decode(prompt_tokens=prompt, new_tokens=output), [
            series("e2e_latency_s", seconds, _TOOL),
            ratio("output_token_throughput", tokens, seconds, _TOOL),
        ]
    if output:
        workload = Decode(prompt_tokens=max(1, entry.n_depth), new_tokens=output)
        return workload, [
            series("tpot_s", [s / output for s in seconds], _TOOL),
            ratio("decode_token_throughput", [float(output)] * len(seconds), seconds, _TOOL),
        ]
    if prompt:
        tokens = [float(prompt)] * len(seconds)
        return Prefill(prompt_tokens=prompt), [
            ratio("prefill_token_throughput", tokens, seconds, _TOOL)
        ]
    raise SpecError(f"report {str(path)!r}: entry {index}: n_prompt and n_gen are both 0")


def _of_model(entry: _Entry) -> list[Measured]:
    if entry.model_size is None:
        return []
    found = [series("model_size_b", [float(entry.model_size)], _TOOL)]
    if entry.model_n_params is not None:
        bits = 8 * entry.model_size / entry.model_n_params
        found.append(series("effective_bits", [bits], _TOOL))
    return found


def _options(entry: _Entry) -> dict[str, OptionValue]:
    """Return what differs from llama-bench's defaults; the depth of a pp test is such a thing."""
    told: dict[str, Any] = entry.model_extra or {}
    found = {
        name: told[name]
        for name, usual in _DEFAULTS.items()
        if name in told and told[name] != usual and isinstance(told[name], bool | int | float | str)
    }
    if entry.n_depth and not entry.n_gen:
        found["n_depth"] = entry.n_depth
    return found


def _precision(model_type: str) -> str:
    """Return `q4_k_m` of `qwen2 7B Q4_K - Medium`, `unknown` where the type does not say."""
    text = model_type.lower()
    for words, short in _SIZES.items():
        text = text.replace(words, short)
    found = re.findall(r"\b(?:mostly )?((?:i?q\d|tq\d|mxfp|bf16|f16|f32)\S*)", text)
    return str(found[-1]) if found else "unknown"


def _device(backends: str) -> str:
    first = backends.split(",")[0].strip().lower()
    return first or "unknown"


def _test_name(entry: _Entry) -> str:
    parts = [
        f"pp{entry.n_prompt}" if entry.n_prompt else "",
        f"tg{entry.n_gen}" if entry.n_gen else "",
    ]
    depth = f" @ d{entry.n_depth}" if entry.n_depth else ""
    return "+".join(part for part in parts if part) + depth
