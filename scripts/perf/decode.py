"""Decode tokens/s through effmark's adapters over a loop written by hand for the same runtime.

Both sides use the very same loaded weights, so that no difference of memory layout is mistaken
for one of code; both give the same token ids, which is checked.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from scripts.perf.rounds import ratio_of, run_rounds
from scripts.perf.table import Line, Promise, finish

from effmark.adapter import Adapter, Generates, Generation, LoadRequest
from effmark.cache import default_cache
from effmark.environment import default_threads
from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.models import resolve_model
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.record import Settings
from effmark.registry import adapter_class
from effmark.spec import Cell, Decode
from effmark.workloads import Context
from effmark.workloads.blocks import timed_block
from effmark.workloads.generation import decode
from effmark.workloads.prompts import prompts_for

TITLE = "decode: tokens/s through effmark / tokens/s of a bare loop"
PROMISE = Promise(0.98, at_least=True)
PROMPT_TOKENS = 32
NEW_TOKENS = {"effmark-4m": 24, "default": 8}
SETUPS = (
    ("torch", "fp32"),
    ("torch", "int4"),
    ("onnxruntime", "fp32"),
    ("onnxruntime", "int4"),
    ("llama-cpp", "f16"),
    ("llama-cpp", "q4_0"),
)
ROUNDS = {"least": 7, "most": 100}
BUDGET_S = 4.0

Loop = Callable[[Sequence[int], int], tuple[list[int], float]]
"""Continues a prompt by so many tokens; returns them and the seconds from first to last."""


def torch_loop(adapter: Any) -> Loop:
    """Return a bare loop on the network of the torch adapter."""
    import torch

    net = adapter._weights.net

    def loop(prompt: Sequence[int], new_tokens: int) -> tuple[list[int], float]:
        with torch.inference_mode():
            out = net(input_ids=torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
            token = out.logits[:, -1].argmax(-1, keepdim=True)
            ids = [int(token)]
            start = time.perf_counter()
            for _ in range(new_tokens - 1):
                out = net(input_ids=token, past_key_values=out.past_key_values, use_cache=True)
                token = out.logits[:, -1].argmax(-1, keepdim=True)
                ids.append(int(token))
            return ids, time.perf_counter() - start

    return loop


def onnxruntime_loop(adapter: Any) -> Loop:
    """Return a bare loop of `session.run` with numpy arrays on the adapter's session."""
    import numpy as np

    held = adapter._graph
    session, fed, past = held._session, set(held._fed), held._past
    _, heads, _, width = held._shape

    def step(tokens: Sequence[int], length: int, cache: list[Any]) -> tuple[int, list[Any]]:
        count = len(tokens)
        feeds = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(length - count, length, dtype=np.int64)[None],
            "logit_positions": np.array([count - 1], np.int64),
        }
        feeds = {name: array for name, array in feeds.items() if name in fed}
        feeds.update(zip(past, cache, strict=True))
        logits, *cache = session.run(None, feeds)
        return int(logits[0, -1].argmax()), cache

    def loop(prompt: Sequence[int], new_tokens: int) -> tuple[list[int], float]:
        empty = np.zeros((1, heads, 0, width), np.float32)
        length = len(prompt)
        token, cache = step(prompt, length, [empty] * len(past))
        ids = [token]
        start = time.perf_counter()
        for _ in range(new_tokens - 1):
            length += 1
            token, cache = step([token], length, cache)
            ids.append(token)
        return ids, time.perf_counter() - start

    return loop


def llama_loop(adapter: Any) -> Loop:
    """Return a bare loop of llama.cpp's C calls on the adapter's context."""
    import ctypes

    import numpy as np

    library, model = adapter._library(), adapter._model
    context, vocabulary = model._context, model.vocabulary_count

    def step(tokens: Sequence[int]) -> int:
        array = (ctypes.c_int32 * len(tokens))(*tokens)
        if library.llama_decode(context, library.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode refused a batch")
        address = library.llama_get_logits_ith(context, -1)
        logits = np.ctypeslib.as_array(
            ctypes.cast(address, ctypes.POINTER(ctypes.c_float)), (vocabulary,)
        )
        return int(logits.argmax())

    def loop(prompt: Sequence[int], new_tokens: int) -> tuple[list[int], float]:
        library.llama_memory_clear(library.llama_get_memory(context), False)
        ids = [step(prompt)]
        start = time.perf_counter()
        for _ in range(new_tokens - 1):
            ids.append(step(ids[-1:]))
        return ids, time.perf_counter() - start

    return loop


LOOPS = {"torch": torch_loop, "onnxruntime": onnxruntime_loop, "llama-cpp": llama_loop}


def load(model: str, adapter: str, precision: str, cache: Path) -> tuple[Any, Cell]:
    """Return a loaded adapter and the cell that describes it."""
    workload = Decode(prompt_tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS[model])
    found = resolve_model(model, cache)
    threads = default_threads()
    request = LoadRequest(
        model=found,
        precision=precision,
        threads=threads,
        context_tokens=PROMPT_TOKENS + NEW_TOKENS[model] + 1,
        cache=cache,
    )
    kind = adapter_class(adapter)
    kind.prepare(request)
    loaded = kind()
    loaded.load(request)
    cell = Cell(
        model=found,
        adapter=adapter,
        adapter_version="",
        precision=precision,
        device="cpu",
        threads=threads,
        workload=workload,
        suite_sha256="0" * 64,
    )
    return loaded, cell


def harness_loop(adapter: Adapter, cell: Cell, counters: ProcessCounters) -> Callable[[int], float]:
    """Return what measures a block as a worker does, in decode tokens/s."""
    context = Context(
        adapter=adapter,
        facts=adapter.facts(),
        cell=cell,
        cache=default_cache(),
        counters=counters,
        energy=cast(EnergyMeter, None),  # only whole cells ask for energy, not blocks
        settings=Settings(),
        is_reference=False,
        reference="",
        progress=lambda _: None,
    )
    timed = decode(context)

    def measure(number: int) -> float:
        block = timed_block(context, timed.work, number, 1, 0.0)
        return (len(block.steps_s) - 1) / (block.steps_s[-1] - block.steps_s[0])

    return measure


def compare(model: str, name: str, precision: str, counters: ProcessCounters) -> Line:
    """Return the ratio of one setup."""
    adapter, cell = load(model, name, precision, default_cache())
    prompts, new_tokens = prompts_for(adapter, PROMPT_TOKENS), NEW_TOKENS[model]
    bare = LOOPS[name](adapter)
    _check_ids(adapter, bare, prompts.batch(0, 1)[0], new_tokens)

    def measure_bare(number: int) -> float:
        return (new_tokens - 1) / bare(prompts.batch(number, 1)[0], new_tokens)[1]

    tasks = {"effmark": harness_loop(adapter, cell, counters), "bare": measure_bare}
    for task in tasks.values():
        task(0)  # warm
    found = run_rounds(tasks, **ROUNDS, budget_s=BUDGET_S)
    adapter.close()
    gc.collect()
    speed = f"{sorted(found['effmark'])[len(found['effmark']) // 2]:.0f} tokens/s"
    what = f"{model} {name} {precision}"
    return Line(f"{what:30} {speed:>14}", ratio_of(found["effmark"], found["bare"]), "", PROMISE)


def _check_ids(adapter: Generates, bare: Loop, prompt: tuple[int, ...], new_tokens: int) -> None:
    ids: list[int | None] = []

    def on_step(step: Sequence[int | None]) -> bool:
        ids.append(step[0])
        return False

    adapter.generate(Generation(prompts=(prompt,), new_tokens=new_tokens), on_step)
    other, _ = bare(prompt, new_tokens)
    if ids != other:
        raise AssertionError(f"the bare loop gives other tokens: {other}, the adapter {ids}")


def measure() -> list[Line]:
    """Return the ratio of every setup that is installed."""
    logging.disable(logging.WARNING)  # converters talk
    counters = ProcessCounters()
    lines = []
    for model in NEW_TOKENS:
        for name, precision in SETUPS:
            try:
                lines.append(compare(model, name, precision, counters))
            except (PrerequisiteError, UnsupportedError) as error:
                print(f"  {model} {name} {precision}: {error}")
    return lines


if __name__ == "__main__":
    finish(TITLE, measure())
