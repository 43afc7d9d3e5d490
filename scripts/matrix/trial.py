"""What one cell does: prepare and load as the product does, answer, and be judged.

Each step is a function that runs in a process of its own and leaves a file behind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from effmark.adapter import Generation, LoadRequest
from effmark.errors import UnsupportedError
from effmark.proof import prove
from effmark.registry import adapter_class
from effmark.spec import ModelRef

__all__ = [
    "NEW_TOKENS",
    "PROMPTS",
    "TEXT",
    "answer",
    "hold_against_source",
    "prepare",
    "read_facts",
    "request_of",
]

_random = np.random.default_rng(0)
TEXT = [int(i) for i in _random.integers(16, 300, 64)]
"""Longer than two layers of any sliding window here, and than any index of sparse attention."""
PROMPTS = tuple(tuple(int(i) for i in _random.integers(16, 300, n)) for n in (5, 40, 17, 26))
NEW_TOKENS = 24
MEMORY_B = 2**32
"""What a proof may use; these models have a megabyte."""


def request_of(
    model: ModelRef, precision: str, cache: Path, batch: int = len(PROMPTS)
) -> LoadRequest:
    """Return the request that every cell makes."""
    return LoadRequest(
        model=model, precision=precision, context_tokens=96, batch=batch, cache=cache, threads=1
    )


def prepare(adapter: str, request: LoadRequest) -> None:
    """Prepare, as the product does in a process of its own."""
    adapter_class(adapter).prepare(request)


def hold_against_source(adapter: str, request: LoadRequest) -> str:
    """Let the product prove the artefact; return the status of its proof."""
    proof = prove(adapter, request, MEMORY_B)
    if proof is not None and proof.status == "collapsed":
        raise UnsupportedError(f"{adapter} at {request.precision}: collapsed: {proof.detail}")
    return "none" if proof is None else proof.status


def answer(adapter: str, request: LoadRequest, out: Path) -> None:
    """Load, score the text, continue the prompts together and alone; write what came out."""
    loaded: Any = adapter_class(adapter)()
    loaded.load(request)
    facts = loaded.facts()
    text = loaded.log_probs([(TEXT[:1], TEXT[1:])])[0]
    together = _continue(loaded, PROMPTS)
    alone = [_continue(loaded, [prompt])[0] for prompt in PROMPTS]
    # What the runtime itself says of its own tokens without a cache.
    own = loaded.log_probs([(p, t) for p, t in zip(PROMPTS, together, strict=True)])
    loaded.close()
    np.savez(
        out, text=np.asarray(text), together=np.asarray(together), alone=np.asarray(alone),
        own=np.stack([np.asarray(rows) for rows in own]),
    )  # fmt: skip
    out.with_suffix(".facts.json").write_text(facts.model_dump_json())


def _continue(loaded: Any, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    steps: list[list[int]] = []

    def on_step(step: Sequence[int | None]) -> bool:
        steps.append([-1 if token is None else int(token) for token in step])
        return False

    asked = Generation(prompts=tuple(tuple(p) for p in prompts), new_tokens=NEW_TOKENS)
    loaded.generate(asked, on_step)
    return [list(tokens) for tokens in zip(*steps, strict=True)]


def read_facts(out: Path) -> dict[str, Any]:
    """Return the facts that `answer` wrote."""
    return dict(json.loads(out.with_suffix(".facts.json").read_text("utf-8")))
