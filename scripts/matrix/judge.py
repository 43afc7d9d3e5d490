"""Whether the answers of a cell are right.

At full precision the log-probabilities of a text are the source model's own (transformers, eager,
fp32, no cache) within `LOG_PROB`, and so is every generated token: after what was generated before
it, no other token is likelier by more than that. At low precision the text is compared with
the same runtime's full precision (KL and top-1 agreement), and the tokens with what the runtime
itself says of them without a cache.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scripts.matrix.trial import PROMPTS, TEXT, read_facts

__all__ = ["Verdict", "judge_exact", "judge_low"]

LOG_PROB = {"torch": 2e-3, "onnxruntime": 2e-3, "openvino": 2e-3, "llama-cpp": 1e-2}
"""Nats; fp32 runtimes differ by 1e-4 on these models, a mistaken key or position by 1e-1. GELU is a
table in f16 in llama.cpp, which differs by up to 5e-3."""
PARAMETERS = 0.02
"""Share of weights that a conversion may fold into others or leave out."""
_SEES = re.compile(r"vision|projector|audio")
"""Parts of a whole model that text does not go through, which llama.cpp does not load."""
KL = {"f16": 0.02, "bf16": 0.03, "int8": 0.05, "q8_0": 0.05, "int4": 0.6, "q4_0": 0.6}
"""Mean KL in nats that random weights of two layers lose at most. Half precision loses 1e-4 to
1e-3, but a random router chooses another expert for next to nothing; garbage is 1 and more."""
OWN_MARGIN = {"f16": 0.05, "bf16": 0.3, "int8": 0.3, "q8_0": 0.3, "int4": 1.0, "q4_0": 1.0}
"""Nats by which a step may differ from the same runtime's prefill: it rounds other products."""
ROUTED = 6
"""How much more where tokens are sent to experts: with random weights another one is as likely."""


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    fault: str | None
    """The first difference; None if there is none."""
    numbers: dict[str, float]


def judge_exact(answers: Path, folder: Path, adapter: str) -> Verdict:
    """Compare with the source model."""
    bound = LOG_PROB[adapter]
    found = np.load(answers)
    model = _source(folder)
    expected = _log_probs(model, TEXT)[:-1]
    if np.abs(_log_probs(model, TEXT[:-8])[:-1] - expected[:-8]).max() > bound:
        return Verdict("the source model reads both ways, and was not refused", {})
    worst = _worst(found["text"], expected)
    numbers = {"log_prob_nats": worst}
    if not worst <= bound:
        row = int(np.abs(found["text"] - expected).max(-1).argmax())
        return Verdict(f"log-probabilities of token {row + 1} differ by {worst:.3g}", numbers)
    for kind in ("alone", "together"):
        short, where = _shortfall(model, found[kind], bound)
        numbers[f"{kind}_nats"] = short
        if not short <= bound:
            return Verdict(f"{kind}: {where} is {short:.3g} nats below the likeliest", numbers)
    return Verdict(_wrong_facts(model, answers), numbers)


def _wrong_facts(model: Any, answers: Path) -> str | None:
    facts, expected = read_facts(answers), sum(p.numel() for p in model.parameters())
    reads = sum(p.numel() for name, p in model.named_parameters() if not _SEES.search(name))
    if min(abs(facts["parameters"] / n - 1) for n in (expected, reads)) > PARAMETERS:
        return f"facts: {facts['parameters']} parameters, the source model has {expected}"
    if facts["context_tokens"] not in (256, 255, None):
        return f"facts: a context of {facts['context_tokens']} tokens, the model has 256"
    return None


def judge_low(answers: Path, exact: Path, precision: str) -> Verdict:
    """Compare with the same runtime's full precision and with itself without a cache."""
    found, full = np.load(answers), np.load(exact)["text"]
    low = found["text"]
    kl = float((np.exp(full) * (full - low)).sum(-1).mean())
    agreement = float((full.argmax(-1) == low.argmax(-1)).mean())
    numbers = {"kl_nats": kl, "top1_agreement": agreement}
    if not kl <= KL[precision]:
        return Verdict(f"KL {kl:.3g} nats to full precision, {agreement:.0%} agree", numbers)
    for kind in ("together", "alone"):
        if kind == "alone" and not (found["alone"] == found["together"]).all():
            continue  # other sums, other tokens; each is judged after its own past
        chosen = np.take_along_axis(found["own"], found["together"][..., None], -1)[..., 0]
        short = float((found["own"].max(-1) - chosen).max())
        numbers["own_nats"] = short
        if not short <= OWN_MARGIN[precision] * (ROUTED if _routes(answers) else 1):
            return Verdict(f"a step is {short:.3g} nats below the runtime's own prefill", numbers)
    return Verdict(None, numbers)


def _routes(answers: Path) -> bool:
    """Return whether a model has experts, by any name that configs have for their number."""
    config = read_facts(answers)["config"]
    return any("expert" in key and type(n) is int and n > 1 for key, n in config.items())


def _source(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    def load(**settings: Any) -> Any:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **settings).eval()

    try:
        return load(attn_implementation="eager")
    except ValueError:  # a family with one attention only
        return load()


def _log_probs(model: Any, ids: Sequence[int]) -> Any:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    return logits.float().log_softmax(-1).numpy()


def _worst(found: Any, expected: Any) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max())


def _shortfall(model: Any, generated: Any, bound: float) -> tuple[float, str]:
    """Return by how much a token was below the likeliest one at worst, and where."""
    worst, where = 0.0, ""
    for row, (prompt, tokens) in enumerate(zip(PROMPTS, generated.tolist(), strict=True)):
        rows = _log_probs(model, [*prompt, *tokens])[len(prompt) - 1 : -1]
        short = rows.max(-1) - np.take_along_axis(rows, np.asarray(tokens)[:, None], -1)[:, 0]
        if short.max() > worst:
            worst = float(short.max())
            first = int((short > bound).argmax()) if worst > bound else int(short.argmax())
            where = f"token {first} after a prompt of {len(PROMPTS[row])}"
    return worst, where
