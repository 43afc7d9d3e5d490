"""Text generation: decode (many new tokens) and prefill (one new token).

The adapter calls back once per step with the ids on the host; that moment is the token's time
stamp. Output length is fixed, so that every runtime does the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from effmark.adapter import Adapter, Generates, Generation, HoldsCache
from effmark.errors import AdapterError, UnsupportedError
from effmark.record import Measured, Measurement, Missing
from effmark.spec import Decode, Prefill
from effmark.workloads.blocks import Timed, Work
from effmark.workloads.context import Context
from effmark.workloads.prompts import Prompts, prompts_for

__all__ = ["decode", "prefill"]


def decode(context: Context) -> Timed:
    """Measure the continuation of prompts, token by token."""
    workload = context.cell.workload
    assert isinstance(workload, Decode)
    return _generate(context, workload.prompt_tokens, workload.new_tokens, workload.batch)


def prefill(context: Context) -> Timed:
    """Measure reading prompts up to the first token."""
    workload = context.cell.workload
    assert isinstance(workload, Prefill)
    return _generate(context, workload.prompt_tokens, 1, workload.batch)


def _generate(context: Context, prompt_tokens: int, new_tokens: int, batch: int) -> Timed:
    adapter = _generator(context.adapter, context.cell.adapter)
    limit = context.facts.context_tokens
    if limit is not None and prompt_tokens + new_tokens > limit:
        raise UnsupportedError(
            f"{context.cell.workload.label}: {prompt_tokens} prompt and {new_tokens} new tokens "
            f"exceed the context of {limit} tokens of model {context.cell.model.name!r}"
        )
    found: list[Measurement] = []
    prompts = prompts_for(adapter, prompt_tokens)

    def look() -> None:
        if context.facts.kv_bytes_per_token is not None:
            found.append(_held_cache(adapter, context.cell.adapter))

    return Timed(_work(adapter, prompts, new_tokens, batch, look), batch, found)


def _held_cache(adapter: object, name: str) -> Measurement:
    """Return the size of the KV cache that the runtime holds now, in the middle of a request."""
    metric = "kv_cache_held_b"
    held_b = adapter.kv_cache_b() if isinstance(adapter, HoldsCache) else None
    if held_b is None:
        detail = f"adapter {name!r} does not tell the size of its cache"
        return Missing(metric=metric, reason="not_supported", detail=detail)
    return Measured(metric=metric, unit="B", samples=(float(held_b),), estimator="max",
                    source="runtime")  # fmt: skip


def _generator(adapter: Adapter, name: str) -> Generates:
    if not isinstance(adapter, Generates):
        raise UnsupportedError(f"adapter {name!r} generates no text")
    return adapter


def _work(
    adapter: Generates, prompts: Prompts, new_tokens: int, batch: int, look: Callable[[], None]
) -> Work:
    """Return the function that does one block and checks that all of it was done.

    Args:
        adapter: what generates.
        prompts: what it continues.
        new_tokens: steps of a block.
        batch: sequences of a block.
        look: called at the last step of the first block, which is warm-up.
    """

    def work(index: int, stamp: Callable[[], None]) -> None:
        steps = 0

        def on_step(ids: Sequence[int | None]) -> bool:
            nonlocal steps
            stamp()
            steps += 1
            if index == 0 and steps == new_tokens:
                look()
            return False

        adapter.generate(
            Generation(prompts=prompts.batch(index, batch), new_tokens=new_tokens), on_step
        )
        if steps != new_tokens:
            raise AdapterError(
                f"block {index}: the adapter gave {steps} steps, wanted {new_tokens}"
            )

    return work
