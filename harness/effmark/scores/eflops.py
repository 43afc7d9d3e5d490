"""eFLOPs (Kinetics): compute plus memory traffic, the latter as FLOPs at an arithmetic intensity.

With P parameters incl. embeddings, q = heads * head_dim * layers, k = KV heads * head_dim * layers,
c context, g generated, N trials with a shared prompt, I FLOPs per byte:

- dense: compute = N [2 P g + 2 (2 c + g) g q]; memory = 2 (2 c + N g) g k I
- sparse, budget B: keys read per trial s = sum over t of min(B, c + t) = m c + m^2 / 2 + (g - m) B
  with m = min(g, max(0, B - c)); compute = N (2 P g + 4 s q); memory = 4 N s k I; no shared prompt
- block top-k: B = local + block * top_k; compute + N floor((2 c + g) / block) g q, memory +
  floor((2 c + N g) / block) g k I

Weight reads and prefill are not counted. The expected cost is the mean over the trials' own
lengths, not the cost of the mean length.

Source: arXiv 2506.05333; read in Infini-AI-Lab/Kinetics @ af7fa5752c3f, whose I is 562.5.

Faults of the reference code: its zero-overhead sparse cost ADDS (B - c)^2 / 2 where its block top-k
subtracts, which is right; neither handles g < B - c. ``authors_sign=True`` follows the former, for
reproducing published numbers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from effmark.scores import _average, _check

# FLOPs per byte, the authors' constant.
INTENSITY = 562.5


@dataclass(frozen=True, slots=True)
class Eflops:
    """Cost in FLOP equivalents."""

    compute: float
    """FLOPs."""
    memory: float
    """Memory traffic in FLOPs at the arithmetic intensity."""

    @property
    def total(self) -> float:
        """Compute plus memory, in FLOPs."""
        return self.compute + self.memory


@dataclass(frozen=True, slots=True)
class _Run:
    """The checked arguments that all three costs share."""

    parameters: float
    queries: int
    keys: int
    context: float
    generated: float
    trials: int
    intensity: float

    def cost(self, query_terms: float, key_terms: float) -> Eflops:
        """Return the cost of all trials; the terms count q per trial, and k over all trials."""
        compute = self.trials * (2 * self.parameters * self.generated + query_terms * self.queries)
        return Eflops(float(compute), float(key_terms * self.keys * self.intensity))


def eflops(
    parameters: float,
    heads: int,
    kv_heads: int,
    head_dim: int,
    layers: int,
    context: float,
    generated: float,
    *,
    trials: int = 1,
    intensity: float = INTENSITY,
) -> Eflops:
    """Return the cost of dense attention, in FLOP equivalents."""
    run = _run(
        parameters, (heads, kv_heads, head_dim, layers), context, generated, trials, intensity
    )
    per_trial = 2 * (2 * context + generated) * generated
    return run.cost(per_trial, 2 * (2 * context + trials * generated) * generated)


def eflops_sparse(
    parameters: float,
    heads: int,
    kv_heads: int,
    head_dim: int,
    layers: int,
    context: float,
    generated: float,
    budget: float,
    *,
    trials: int = 1,
    intensity: float = INTENSITY,
    authors_sign: bool = False,
) -> Eflops:
    """Return the cost of attention to ``budget`` keys found for free, in FLOP equivalents."""
    run = _run(
        parameters, (heads, kv_heads, head_dim, layers), context, generated, trials, intensity
    )
    _check.number("budget", budget, above=0)
    if authors_sign:
        keys_read = budget * generated + max(0, budget - context) ** 2 / 2
    else:
        keys_read = _keys_read(run, budget)
    return run.cost(4 * keys_read, 4 * trials * keys_read)


def eflops_block_sparse(
    parameters: float,
    heads: int,
    kv_heads: int,
    head_dim: int,
    layers: int,
    context: float,
    generated: float,
    local: int,
    block_size: int,
    top_k: int,
    *,
    trials: int = 1,
    intensity: float = INTENSITY,
) -> Eflops:
    """Return the cost of attention to local keys and the best blocks, in FLOP equivalents."""
    run = _run(
        parameters, (heads, kv_heads, head_dim, layers), context, generated, trials, intensity
    )
    _check.whole("local", local)
    _check.whole("block_size", block_size, least=1)
    _check.whole("top_k", top_k)
    budget = _check.number("local + block_size * top_k", local + block_size * top_k, least=1)
    keys_read = _keys_read(run, budget)
    per_trial = (2 * context + generated) // block_size * generated
    over_all = (2 * context + trials * generated) // block_size * generated
    return run.cost(4 * keys_read + per_trial, 4 * trials * keys_read + over_all)


def mean_eflops(costs: Iterable[Eflops]) -> Eflops:
    """Return the mean cost of several trials, in FLOP equivalents."""
    found = list(costs)
    _check.not_empty("costs", found)
    compute = _average.mean([cost.compute for cost in found])
    return Eflops(compute, _average.mean([cost.memory for cost in found]))


def _run(
    parameters: float,
    shape: tuple[int, int, int, int],
    context: float,
    generated: float,
    trials: int,
    intensity: float,
) -> _Run:
    names = ("heads", "kv_heads", "head_dim", "layers")
    heads, kv_heads, head_dim, layers = (
        _check.whole(name, value, least=1) for name, value in zip(names, shape, strict=True)
    )
    return _Run(
        parameters=_check.number("parameters", parameters, above=0),
        queries=heads * head_dim * layers,
        keys=kv_heads * head_dim * layers,
        context=_check.number("context", context, least=0),
        generated=_check.number("generated", generated, least=0),
        trials=_check.whole("trials", trials, least=1),
        intensity=_check.number("intensity", intensity, least=0),
    )


def _keys_read(run: _Run, budget: float) -> float:
    growing = min(run.generated, max(0, budget - run.context))
    return growing * run.context + growing**2 / 2 + (run.generated - growing) * budget
