"""What a token of a language model costs: FLOPs and cache, by formula where one holds.

The formulas of `effmark.scores` are used for the model types that they are known to hold for. For
all others the model's own code is counted when a model is prepared, where torch is installed. A
number that neither gives is None, with the reason; it never keeps a model from being measured.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from effmark.cache import build_once
from effmark.schema import Frozen, content_hash
from effmark.scores.architecture import (
    Architecture,
    architecture_from_config,
    kv_elements_per_token,
    kv_window_elements_per_token,
)
from effmark.scores.flops import decode_flops_per_token
from effmark.spec import ModelRef
from effmark_adapters.artefacts.facts import context_tokens, flat_config, read_config

__all__ = ["Costs", "costs_by_formula", "costs_of", "fields_of", "held_whole", "prepare_costs"]

RECIPE = 1
"""Rises whenever the same config would be counted otherwise."""
_LONGEST_REASON = 160


class Costs(Frozen):
    """What one token needs."""

    flops: float | None = None
    """Of decoding one token with an empty context, 2 per multiply-add."""
    kv_elements: int | None = None
    """Elements that a token adds to the cache, within every window."""
    window: int | None = None
    """Length of the sliding windows; None where there is none."""
    window_elements: int = 0
    """How many of `kv_elements` are in layers that keep a window only."""
    state_elements: int = 0
    """Elements that a sequence holds whatever its length."""
    unknown: dict[str, str] = {}
    """Why `flops` or `kv` are not known."""


def costs_by_formula(config: dict[str, Any]) -> Costs:
    """Return what follows from a config."""
    try:
        arch = architecture_from_config(config)
    except ValueError as error:
        return Costs(unknown=dict.fromkeys(("flops", "kv"), str(error)))
    return _by_formula(arch)


def _by_formula(arch: Architecture) -> Costs:
    return Costs(
        flops=decode_flops_per_token(arch, 1),
        kv_elements=kv_elements_per_token(arch),
        window=arch.window,
        window_elements=kv_window_elements_per_token(arch),
    )


def prepare_costs(model: ModelRef, folder: Path, cache: Path) -> None:
    """Count what no formula gives, once; without torch nothing is counted."""
    formula = costs_by_formula(read_config(folder))
    if not formula.unknown or importlib.util.find_spec("torch") is None:
        return

    def build(out: Path) -> None:
        (out / "costs.json").write_text(_counted(folder).model_dump_json(), "utf-8")

    build_once(cache, "costs", _key(model), build, f"costs of a token of {model.name}")


def _counted(folder: Path) -> Costs:
    from effmark_adapters.artefacts.counting import count
    from effmark_adapters.artefacts.hf_model import check_folder

    try:
        return count(check_folder(folder, "auto"))
    except Exception as error:  # noqa: BLE001 - whatever the model's code does without numbers
        first = (str(error).splitlines() or [""])[0]
        reason = f"its code cannot be counted: {type(error).__name__}: {first}"[:_LONGEST_REASON]
        return Costs(unknown=dict.fromkeys(("flops", "kv"), reason))


def costs_of(model: ModelRef, folder: Path, cache: Path) -> Costs:
    """Return the costs by formula, else those that were counted, else the reason."""
    formula = costs_by_formula(read_config(folder))
    path = cache / "costs" / _key(model) / "costs.json"
    if formula.unknown and path.is_file():
        return Costs.model_validate_json(path.read_text("utf-8"))
    return formula


def fields_of(costs: Costs, config: dict[str, Any], value_b: float) -> dict[str, Any]:
    """Return the fields of `ModelFacts` that costs and a config give, at so many bytes a number."""
    known = costs.kv_elements is not None
    return {
        "flops_per_unit": costs.flops,
        "kv_bytes_per_token": round((costs.kv_elements or 0) * value_b) if known else None,
        "kv_window_bytes_per_token": round(costs.window_elements * value_b),
        "kv_window_tokens": costs.window,
        "kv_state_b": round(costs.state_elements * value_b),
        "context_tokens": context_tokens(config),
        "config": flat_config(config),
        "unknown": costs.unknown,
    }


def held_whole(kv_bytes_per_token: int) -> dict[str, Any]:
    """Return the fields of a runtime that keeps all tokens, also in layers with a window."""
    return {
        "kv_bytes_per_token": kv_bytes_per_token,
        "kv_window_bytes_per_token": 0,
        "kv_window_tokens": None,
    }


def _key(model: ModelRef) -> str:
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("torch", "transformers"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    return content_hash({"source": model.sha256, "recipe": RECIPE, **versions})[:32]
