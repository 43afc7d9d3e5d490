"""Every artefact proves itself before it is timed, on the user's own model.

What the source model says of a short text and of three prompts of unequal lengths is computed
once, without a cache and without padding, by a reference (entry-point group
`effmark.references`). Each (model, adapter, precision) must say the same through its own prefill,
its own padded batch and its own cached steps. At full precision a difference is a refusal; at low
precision the distance is recorded, and a model that has collapsed never ranks. Where no reference
can be had, the record says so.
"""

from __future__ import annotations

from effmark.proof.answers import STEPS, TEXT, Answers, questions
from effmark.proof.prove import prove
from effmark.proof.reference import Reference

__all__ = ["STEPS", "TEXT", "Answers", "Reference", "prove", "questions"]
