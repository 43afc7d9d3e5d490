"""The ONNX file of a causal LM: made once from its Hugging Face folder, cached by content hash.

An entry holds `model.onnx`, `model.onnx.data`, `meta.json` and, where it is whole, `proof.npz`, by
which the graph was found to compute what the model computes. What makes it (torch, transformers,
onnx) is imported by the building functions only; `prepared` finds an entry without any of them, so
that the memory of a measuring process is the runtime's own.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from effmark.cache import build_once
from effmark.errors import PrerequisiteError
from effmark.schema import content_hash
from effmark.spec import ModelRef
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder

__all__ = ["Blocks", "key_of", "make", "prepared", "read_meta"]

RECIPE = 4
"""Rises whenever the same source and versions would become another graph."""
_EXPORTERS = ("torch", "transformers", "onnx", "onnxscript")
_QUANTISERS = ("onnx", "onnxruntime")


@dataclass(frozen=True)
class Blocks:
    """Weights in blocks of few bits, one scale each; None instead of this is fp32."""

    bits: int
    block_size: int = 32
    accuracy_level: int = 4
    """ONNX Runtime's: 4 computes with int8 activations, 1 with fp32 ones."""


def make(model: ModelRef, cache: Path, blocks: Blocks | None = None) -> Path:
    """Return the folder of the graph of a model; export and quantise it if not yet done."""
    folder = hf_folder(model, cache)
    if blocks is None:
        return build_once(
            cache, "onnx", _key(model, folder, None), lambda out: _export(model, folder, out),
            f"{model.name} as ONNX", remember_refusal=True,
        )  # fmt: skip
    whole = make(model, cache)

    def build(out: Path) -> None:
        from effmark_adapters.artefacts.onnx_quantise import quantise_blocks
        from effmark_adapters.graphs.adapter import conversion_errors

        with conversion_errors("onnxruntime", f"onnxruntime: no int{blocks.bits} of this model"):
            packed = quantise_blocks(whole, out, **asdict(blocks))
        _note(out, {**read_meta(whole), "quantisation": packed})

    what = f"{model.name} as ONNX with {blocks.bits}-bit weights"
    return build_once(
        cache, "onnx", _key(model, folder, blocks), build, what, remember_refusal=True
    )


def prepared(model: ModelRef, cache: Path, blocks: Blocks | None = None) -> Path:
    """Return the folder that `make` made before.

    Raises:
        PrerequisiteError: it was not made yet.
    """
    entry = cache / "onnx" / _key(model, prepared_hf_folder(model, cache), blocks)
    if not entry.is_dir():
        raise PrerequisiteError(f"model {model.name!r} is not exported yet; call prepare first")
    return entry


def read_meta(entry: Path) -> dict[str, Any]:
    """Return what was written down when an entry was made: sizes, bytes, kinds of nodes."""
    return dict(json.loads((entry / "meta.json").read_text("utf-8")))


def key_of(model: ModelRef, folder: Path, packages: Iterable[str], **options: Any) -> str:
    """Return the cache key of something that packages make from a model with options.

    Raises:
        PrerequisiteError: one of the packages is not installed.
    """
    source = {"source": model.sha256, "converted": folder.name if folder != model.path else ""}
    if model.trust_remote_code:  # what is refused without it may be possible with it
        source["trust_remote_code"] = "yes"
    return content_hash({**source, **options, "versions": _versions(packages)})[:32]


def _key(model: ModelRef, folder: Path, blocks: Blocks | None) -> str:
    packages = _EXPORTERS + (_QUANTISERS if blocks else ())
    return key_of(model, folder, packages, recipe=RECIPE, blocks=blocks and asdict(blocks))


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError as error:
            raise PrerequisiteError(
                f"export to ONNX needs {package!r}; install it with: pip install 'effmark[onnx]'"
            ) from error
    return found


def _export(model: ModelRef, source: Path, out: Path) -> None:
    from effmark_adapters.artefacts.onnx_export import export_lm
    from effmark_adapters.graphs.ort_session import prove

    export_lm(source, out, trust_remote_code=model.trust_remote_code)
    prove(model, out)
    _note(out, read_meta(out))


def _note(entry: Path, facts: dict[str, Any]) -> None:
    """Write down what is known of an entry, with what is counted in its graph."""
    from effmark_adapters.artefacts.onnx_graph import graph_facts

    facts = {**facts, **graph_facts(entry / "model.onnx")}
    (entry / "meta.json").write_text(json.dumps(facts, indent=1, sort_keys=True))
