"""The analyses by name, each with a line for people."""

from __future__ import annotations

__all__ = ["ANALYSES"]

ANALYSES = {
    "best": "what to take under limits on time, energy, memory or quality, and how sure that is",
    "iso-quality": "what runtimes cost at equal quality, between measured points",
    "iso-budget": "what quality runtimes give for equal cost, between measured points",
    "speedups": "speed-up on every workload, and the geometric mean with both its intervals",
    "hypervolume": "how much of the trade-off each runtime covers, and who the front needs",
    "reliability": "would other items give the same order? DIoR, leader flips, items needed",
    "proxies": "do FLOPs, parameters and bytes foretell latency, energy and memory?",
    "runtime": "seconds from prompt and output length, fitted and checked on held-out lengths",
    "power-law": "one column as a power of another, with bootstrap interval and residuals",
    "exponents": "how cost grows with model, prompt, output or batch",
}
