"""What every adapter promises, as checks that anybody can run on theirs.

    from effmark.contract import check_adapter

    def test_my_adapter_keeps_the_contract(tmp_path):
        request = LoadRequest(model=resolve_model("effmark-1m", tmp_path), precision="fp32", ...)
        check_adapter(MyAdapter, request)

Each check raises AssertionError with a sentence; the capabilities that an adapter does not have
are not checked. `check_adapter` runs all of them on a loaded adapter; `tests/contract` runs them
one by one on every installed adapter, and compares with the torch adapter at fp32 besides.

How a check catches a device that is still at work: a token must be a Python integer when it is
handed over, and one that scoring finds likely; an array must not change after it was returned.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from effmark.adapter import (
    Adapter,
    Array,
    Generates,
    Generation,
    HoldsCache,
    LoadRequest,
    Sampling,
    Scores,
)
from effmark.errors import EffmarkError, UnsupportedError
from effmark.record import ModelFacts

__all__ = [
    "PROMPT",
    "WRONG",
    "Steps",
    "check_adapter",
    "check_arrays_are_final",
    "check_batch_equals_single",
    "check_cache",
    "check_empty_prompt",
    "check_facts",
    "check_log_probs",
    "check_on_step_ends",
    "check_refusals",
    "check_sampling",
    "check_steps",
    "check_stop_ids",
    "check_tokens_are_likely",
    "check_too_long",
    "greedy",
]

Steps = list[list[int | None]]
SETTLE_S = 0.05
"""How long an array may take to change after it was returned, if the device is still at work."""
PROMPT = (11, 42, 7, 99, 42, 7, 65, 66)
"""Some tokens; any model with a hundred of them has an opinion on these."""


def check_adapter(adapter_class: type[Adapter], request: LoadRequest) -> None:
    """Run every check that applies to an adapter class; the request must be one it can serve."""
    check_refusals(adapter_class, request)
    adapter_class.prepare(request)
    adapter = adapter_class()
    adapter.load(request)
    try:
        check_facts(adapter.facts(), request)
        if isinstance(adapter, Generates):
            for check in (check_steps, check_on_step_ends, check_stop_ids, check_sampling):
                check(adapter)
            check_empty_prompt(adapter)
            check_batch_equals_single(adapter)
        if isinstance(adapter, HoldsCache):
            check_cache(adapter)
        if isinstance(adapter, Scores):
            check_log_probs(adapter)
        if isinstance(adapter, Generates) and isinstance(adapter, Scores):
            check_tokens_are_likely(adapter)
    finally:
        adapter.close()
        adapter.close()


def greedy(adapter: Any, prompts: Sequence[Sequence[int]], new_tokens: int, **how: Any) -> Steps:
    """Return the ids of every step of a generation, checked to be one id per sequence."""
    steps: Steps = []
    times_s: list[float] = []

    def on_step(ids: Sequence[int | None]) -> bool:
        times_s.append(time.perf_counter())
        steps.append(list(ids))
        return False

    rows = tuple(tuple(prompt) for prompt in prompts)
    adapter.generate(Generation(prompts=rows, new_tokens=new_tokens, **how), on_step)
    adapter.synchronize()
    done_s = time.perf_counter()
    assert all(len(ids) == len(rows) for ids in steps), "a step has not one id per sequence"
    assert all(i is None or type(i) is int for ids in steps for i in ids), (
        "an id is no Python integer: it may still be on the device"
    )
    assert times_s == sorted(times_s), "steps came back out of order"
    assert not times_s or times_s[-1] <= done_s, "a step came after synchronize returned"
    return steps


def check_steps(adapter: Any) -> None:
    """Exactly one `on_step` per token, with ids that are final when they are handed over."""
    steps = greedy(adapter, [PROMPT], 6)
    assert len(steps) == 6, f"6 tokens were asked for, {len(steps)} steps came"
    again = greedy(adapter, [PROMPT], 6)
    assert steps == again, f"greedy decoding gave {steps}, then {again}"


def check_on_step_ends(adapter: Any) -> None:
    """When `on_step` returns True no further step comes."""
    seen: list[int] = []

    def on_step(ids: Sequence[int | None]) -> bool:
        seen.append(len(ids))
        return len(seen) == 2

    adapter.generate(Generation(prompts=(PROMPT,), new_tokens=9), on_step)
    assert len(seen) == 2, f"on_step asked to end after 2 steps, {len(seen)} came"


def check_cache(adapter: Any) -> None:
    """The cache of a request in flight holds at least all tokens that were read so far."""
    seen: list[int | None] = []

    def on_step(_: Sequence[int | None]) -> bool:
        seen.append(adapter.kv_cache_b())
        return False

    adapter.generate(Generation(prompts=(PROMPT,), new_tokens=6), on_step)
    per_token = adapter.facts().kv_bytes_per_token
    if seen[-1] is None or per_token is None:
        return
    read = len(PROMPT) + 5  # the last token is not read any more
    assert seen[-1] >= read * per_token, (
        f"the cache of {read} tokens at {per_token} B each is said to hold {seen[-1]} B"
    )


def check_stop_ids(adapter: Any) -> None:
    """A stop id is delivered, then None; the generation ends with its last sequence."""
    steps = greedy(adapter, [PROMPT], 8)
    ids = [step[0] for step in steps if step[0] is not None]
    stop = next((i for i in ids if i != ids[0]), ids[0])
    first = ids.index(stop)
    stopped = [step[0] for step in greedy(adapter, [PROMPT], 8, stop_ids=(stop,))]
    assert stopped == ids[: first + 1], f"stop id {stop}: {stopped} came, of {ids}"
    both = greedy(adapter, [PROMPT, (*PROMPT, stop)], 8, stop_ids=(stop,))
    for row in range(2):
        column = [step[row] for step in both]
        found = column.index(stop) if stop in column else len(column)
        ended = column[found + 1 :]
        assert ended == [None] * len(ended), f"after the stop id {stop} came {ended}"


def check_batch_equals_single(adapter: Any, *, tokens: int = 8, agree: int = 8) -> None:
    """Prompts of different lengths continue together as they do alone.

    Args:
        adapter: A loaded adapter; nothing is checked if it holds one sequence at a time.
        tokens: Length of the continuation.
        agree: How many of them must agree; less than `tokens` where rounding depends on the batch.
    """
    prompts = [PROMPT, PROMPT[:3], PROMPT[2:]]
    try:
        together = greedy(adapter, prompts, tokens)
    except UnsupportedError:
        return
    assert len(together) == tokens, f"a batch gave {len(together)} steps instead of {tokens}"
    for row, prompt in enumerate(prompts):
        alone = [step[0] for step in greedy(adapter, [prompt], tokens)]
        batched = [step[row] for step in together]
        assert batched[:agree] == alone[:agree], f"sequence {row}: {batched}, alone {alone}"


def check_sampling(adapter: Any) -> None:
    """The same seed gives the same tokens; a bound of one token is greedy."""
    sampling = Sampling(temperature=1.0, top_k=20, top_p=0.95, seed=7)
    try:
        first = greedy(adapter, [PROMPT], 8, sampling=sampling)
    except UnsupportedError:
        return
    assert first == greedy(adapter, [PROMPT], 8, sampling=sampling), "one seed, two results"
    bound = Sampling(temperature=1.0, top_k=1, seed=3)
    only = greedy(adapter, [PROMPT], 8, sampling=bound)
    assert only == greedy(adapter, [PROMPT], 8), "top_k 1 is not greedy decoding"


def check_log_probs(adapter: Any, *, tolerance: float = 1e-3) -> None:
    """Rows are float32, normalised and final; equal contexts change nothing.

    Args:
        adapter: A loaded adapter.
        tolerance: Greatest difference of a log-probability, in nats, between two ways to batch;
            more than rounding of float32 where activations are rounded or quantised.
    """
    pairs = [(PROMPT, PROMPT[:4]), (PROMPT, PROMPT[3:5]), (PROMPT[:1], PROMPT[1:]), (PROMPT, (42,))]
    found = check_arrays_are_final(lambda: adapter.log_probs(pairs), adapter)
    assert len(found) == len(pairs), f"{len(pairs)} texts gave {len(found)} arrays"
    for (_, continuation), rows in zip(pairs, found, strict=True):
        assert len(rows.shape) == 2, f"log_probs gave the shape {rows.shape}"
        assert rows.shape[0] == len(continuation), f"{len(continuation)} tokens: {rows.shape}"
        assert str(rows.dtype) == "float32", f"log_probs are {rows.dtype}"
        for row in rows.tolist():
            total = math.fsum(map(math.exp, row))
            assert abs(total - 1) < 1e-3, f"probabilities add up to {total}"
    for pair, rows in zip(pairs, found, strict=True):
        (alone,) = adapter.log_probs([pair])
        assert _distance(alone, rows) <= tolerance, "a text scores otherwise beside others"


def check_tokens_are_likely(adapter: Any, *, tolerance: float = 0.25) -> None:
    """What greedy decoding chose is what scoring finds most likely, within nats of `tolerance`."""
    ids = [step[0] for step in greedy(adapter, [PROMPT], 4)]
    (rows,) = adapter.log_probs([(PROMPT, ids)])
    for row, number in zip(rows.tolist(), ids, strict=True):
        assert number is not None, "a sequence ended without a stop id"
        missing = max(row) - row[number]
        assert missing <= tolerance, f"token {number} came, {missing:.2f} nats below the likeliest"


def check_arrays_are_final(work: Callable[[], Any], adapter: Any) -> Any:
    """Return the arrays that `work` returns, checked not to change any more."""
    found = work()
    arrays = found if isinstance(found, list) else [found]
    at_once = [array.tolist() for array in arrays]
    adapter.synchronize()
    time.sleep(SETTLE_S)
    later = [array.tolist() for array in arrays]
    assert at_once == later, "an array changed after it was returned: the device was still at work"
    return found


WRONG: dict[str, Any] = {
    "precision": "int3-nonsense",
    "device": "nonsense:7",
    "options": {"nonsense_knob": 1},
}


def check_refusals(
    adapter_class: type[Adapter], request: LoadRequest, wrong: dict[str, Any] = WRONG
) -> None:
    """An unknown precision, option or device is refused by its name."""
    for field, value in wrong.items():
        word = next(iter(value)) if isinstance(value, dict) else value
        try:
            adapter_class.prepare(request.model_copy(update={field: value}))
        except UnsupportedError as error:
            assert word in str(error), f"the refusal of {word!r} does not name it: {error}"
        else:
            raise AssertionError(f"{field} {value!r} was not refused")


def check_facts(facts: ModelFacts, request: LoadRequest) -> None:
    """Sizes fit together, and a number of bits in the precision's name is about the real one."""
    bits = 8 * facts.weights_b / facts.parameters
    assert math.isclose(facts.effective_bits, bits, rel_tol=1e-6), f"effective_bits is not {bits}"
    nominal = {"fp32": 32, "f32": 32, "bf16": 16, "f16": 16, "int8": 8, "q8_0": 8, "int4": 4}
    if request.precision in nominal and facts.weights == "trained":
        least = nominal[request.precision]
        # Scales, and embedding and head at 8 bits; the latter weigh more in a small model.
        assert least <= facts.effective_bits <= 1.55 * least, (
            f"{request.precision} has {facts.effective_bits:.2f} bits per weight"
        )
    if facts.weights == "trained":
        ratio = facts.file_b / facts.weights_b
        assert 0.4 <= ratio <= 4, f"{facts.file_b} bytes on disk for {facts.weights_b} in memory"
        assert facts.config, "the architecture is missing"
        assert facts.runtime, "the runtime is missing"


def check_empty_prompt(adapter: Any) -> None:
    """A prompt of no tokens is refused, not continued."""
    _check_refused(adapter, (), "a prompt of 0 tokens")


def check_too_long(adapter: Any, context_tokens: int) -> None:
    """A prompt that leaves no room in the context is refused, not cut."""
    prompt = (PROMPT * (context_tokens // len(PROMPT) + 1))[:context_tokens]
    _check_refused(adapter, prompt, f"a prompt of {context_tokens} tokens and 2 more")


def _check_refused(adapter: Any, prompt: tuple[int, ...], what: str) -> None:
    try:
        greedy(adapter, [prompt], 2)
    except EffmarkError:
        return
    raise AssertionError(f"{what} was accepted")


def _distance(first: Array, second: Array) -> float:
    """Return the greatest difference of two arrays of log-probabilities above 1e-4."""
    differences = (
        abs(float(a) - float(b))
        for left, right in zip(first.tolist(), second.tolist(), strict=True)
        for a, b in zip(left, right, strict=True)
        if max(a, b) > math.log(1e-4)
    )
    return max(differences, default=0.0)
