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

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from effmark.errors import SpecError
from effmark.exchange.foreign import (
    MOST,
    Imported,
    LeftOut,
    is_time,
    machine,
    parsed,
    ratio,
    series,
)
from effmark.exchange.places import last_part, told_apart
from effmark.exchange.report_files import read_entries
from effmark.record import Measured
from effmark.spec import Decode, OptionValue, Prefill

__all__ = ["read_llama_bench"]

_TOOL = "llama-bench"
_NS = 1e-9
_ENDING = ".gguf"
_DEFAULTS: dict[str, OptionValue] = {
    "n_batch": 2048, "n_ubatch": 512, "type_k": "f16", "type_v": "f16", "n_gpu_layers": -1,
    "split_mode": "layer", "main_gpu": 0, "no_kv_offload": False, "flash_attn": -1,
    "use_mmap": True, "load_mode": "mmap", "use_direct_io": False, "embeddings": False,
    "n_cpu_moe": 0, "tensor_split": "0.00", "tensor_buft_overrides": "none", "devices": "auto",
    "cpu_mask": "0x0", "cpu_strict": False, "poll": 50, "no_op_offload": 0, "no_host": False,
}  # fmt: skip
"""llama-bench's own defaults (common to its builds of 2026): what differs is part of the
configuration, as is a parameter that is not listed."""
_RESULTS = frozenset(("stddev_ns", "avg_ts", "stddev_ts", "samples_ts"))
"""What an entry holds that is neither read nor asked for."""
_SIZES = {" - small": "_s", " - medium": "_m", " - large": "_l"}


class _Entry(BaseModel):
    """The fields of an entry that are read; others are ignored, whichever version wrote them."""

    model_config = ConfigDict(
        extra="allow", allow_inf_nan=False, protected_namespaces=(), strict=True
    )

    build_commit: str = ""
    build_number: int = 0
    cpu_info: str = ""
    gpu_info: str = ""
    backends: str = ""
    model_filename: str = Field(min_length=1)
    model_type: str = ""
    model_size: int | None = Field(default=None, gt=0, le=MOST)
    model_n_params: int | None = Field(default=None, gt=0, le=MOST)
    n_threads: int = Field(default=1, gt=0, le=MOST)
    n_prompt: int = Field(ge=0, le=MOST)
    n_gen: int = Field(ge=0, le=MOST)
    n_depth: int = Field(default=0, ge=0, le=MOST)
    test_time: str = ""
    avg_ns: float | None = None
    samples_ns: list[float] = []


def read_llama_bench(path: Path) -> Iterator[Imported | LeftOut]:
    """Yield what each test of a report says; a test with a value that cannot be is left out.

    Raises:
        SpecError: not a report of llama-bench.
    """
    for found in read_entries(path):
        if isinstance(found, LeftOut):
            yield found
            continue
        where, body = found
        try:
            yield _imported(parsed(_Entry, body, where), where)
        except SpecError as error:
            yield LeftOut(str(error))


def _imported(entry: _Entry, where: str) -> Imported:
    seconds = _seconds(entry, where)
    workload, measured = _measured(entry, seconds, where)
    build = f"llama.cpp {entry.build_commit} ({entry.build_number})" if entry.build_commit else ""
    return Imported(
        tool=_TOOL, tool_version=build, model=_model_name(entry.model_filename), task="lm",
        kind="gguf", adapter=_TOOL, precision=_precision(entry.model_type),
        device=_device(entry.backends), threads=entry.n_threads, workload=workload,
        created=entry.test_time,
        environment=machine(entry.cpu_info, [entry.gpu_info] if entry.gpu_info else []),
        measurements=[*measured, *_of_model(entry)], options=_options(entry),
        identity={"type": entry.model_type, "size_b": entry.model_size,
                  "parameters": entry.model_n_params, "file": entry.model_filename},
        notes={"test": _test_name(entry), "n": f"{len(seconds)} repetitions"},
    )  # fmt: skip


def _model_name(filename: str) -> str:
    """Return the file's name without its folders and without `.gguf`; other dots stay."""
    name = last_part(filename)
    return name[: -len(_ENDING)] if name.lower().endswith(_ENDING) and name != _ENDING else name


def _seconds(entry: _Entry, where: str) -> list[float]:
    """Return the seconds of every repetition; the mean alone where only that was kept."""
    nanoseconds = entry.samples_ns or ([] if entry.avg_ns is None else [entry.avg_ns])
    seconds = [_NS * value for value in nanoseconds]
    if not seconds or not all(is_time(value) for value in seconds):
        raise SpecError(f"{where}: samples_ns wants times above 0, got {nanoseconds!r:.80}")
    return seconds


def _measured(
    entry: _Entry, seconds: list[float], where: str
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
    raise SpecError(f"{where}: n_prompt and n_gen are both 0")


def _of_model(entry: _Entry) -> list[Measured]:
    if entry.model_size is None:
        return []
    found = [series("model_size_b", [float(entry.model_size)], _TOOL)]
    if entry.model_n_params is not None:
        bits = 8 * entry.model_size / entry.model_n_params
        found.append(series("effective_bits", [bits], _TOOL))
    return found


def _options(entry: _Entry) -> dict[str, OptionValue]:
    """Return all parameters that differ from llama-bench's defaults, those not known here, too.

    So are the parts of a test that its workload does not tell.
    """
    told = entry.model_extra or {}
    found: dict[str, OptionValue] = {
        name: _scalar(value)
        for name, value in told.items()
        if name not in _RESULTS and (name not in _DEFAULTS or value != _DEFAULTS[name])
    }
    if entry.n_depth and (entry.n_prompt or entry.n_depth == 1):
        found["n_depth"] = entry.n_depth
    if entry.n_prompt and entry.n_gen:
        found["test"] = "pg"
    if "," in entry.backends:
        found["backends"] = entry.backends
    return found


def _scalar(value: Any) -> OptionValue:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return told_apart(value if isinstance(value, str) else json.dumps(value, sort_keys=True))


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
