"""A Hugging Face causal LM as an ONNX graph with its KV cache as inputs and outputs.

Heavy: imports torch and transformers, so only `prepare` may import this module.

The graph takes `input_ids [n, t]`, `attention_mask [n, past + t]`, `position_ids [n, t]`,
`logit_positions [k]` (which of the t positions to give logits for) and
`past_key_values.I.key|value [n, heads, past, size]`; it gives `logits [n, k, v]` and
`present.I.key|value`. Beside it lies what the model itself gives for a few sequences, without a
cache, and the graph is refused unless it gives the same.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch

from effmark.errors import AdapterError, OutOfMemoryError, UnsupportedError
from effmark_adapters.artefacts.hf_model import load_causal_lm
from effmark_adapters.artefacts.onnx_arithmetic import rewrite
from effmark_adapters.artefacts.onnx_step import Step, fix_rope, longest_with_one_rope
from effmark_adapters.graphs.adapter import one_line
from effmark_adapters.graphs.proof import Proof

__all__ = ["export_lm"]

OPSET = 18
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
_MEMORY = ("not enough memory", "out of memory", "cannot allocate memory")


def export_lm(source: Path, folder: Path, *, trust_remote_code: bool = False) -> None:
    """Write `model.onnx`, its data, `proof.npz` and `meta.json` for a model folder.

    Raises:
        UnsupportedError: the model cannot be exported.
    """
    model = load_causal_lm(
        source, torch.float32, attention="eager", trust_remote_code=trust_remote_code
    )
    longest = longest_with_one_rope(model)
    proof = Proof.of(model, longest)  # before anything is changed
    fix_rope(model)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    step = Step(model).eval()
    rewrite(model)
    path = folder / "model.onnx"
    _export(step, path)
    proof.save(folder / "proof.npz")
    meta = {**_meta(model, step), "tied": tied, "longest_tokens": longest}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True))


def _export(step: Step, path: Path) -> None:
    name = type(step.model).__name__
    outputs = [n.replace("past_key_values", "present") for n in step.names]
    try:
        with _quiet():
            program = torch.onnx.export(
                step,
                _example(step),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=[
                    *("input_ids", "attention_mask", "position_ids", "logit_positions"),
                    *step.names,
                ],
                output_names=["logits", *outputs],
                dynamic_shapes=_dynamic_shapes(len(step.names)),
            )
        assert program is not None
        program.save(str(path), external_data=True)
    except OSError:  # a full disk says nothing of the model
        raise
    except Exception as error:  # whatever the exporter raises, the model is what it cannot export
        raise _reason(name, error) from error
    _strip(path)


def _reason(name: str, error: Exception) -> AdapterError:
    """Return what an exporter's error comes down to: its first cause, in one line."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    texts = [str(e) for e in causes]
    lacking = any(words in text.lower() for text in texts for words in _MEMORY)
    if lacking or any(isinstance(e, MemoryError) for e in causes):
        return OutOfMemoryError(f"onnx export of {name}: out of memory")
    first = next((e for e in reversed(causes) if str(e).strip()), error)
    return UnsupportedError(
        f"onnx export of {name}: torch {torch.__version__} cannot: {one_line(first)}"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes about itself off stderr."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)


def _strip(path: Path) -> None:
    """Remove what the exporter notes at every node, stack traces say; it is most of the file."""
    graph = onnx.load(str(path), load_external_data=False)
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.graph.ClearField("value_info")
    onnx.save_model(graph, str(path))


def _example(step: Step, batch: int = 2, length: int = 5, past: int = 7) -> tuple[Any, ...]:
    """Return inputs whose dynamic sizes all differ and are neither 0 nor 1."""
    return (
        torch.zeros(batch, length, dtype=torch.long),
        torch.ones(batch, past + length, dtype=torch.long),
        torch.arange(past, past + length)[None].repeat(batch, 1),
        torch.tensor([1, 2, 4]),
        [torch.zeros(batch, heads, past, size) for heads, size in step.shapes],
    )


def _dynamic_shapes(caches: int) -> tuple[Any, ...]:
    free = torch.export.Dim.DYNAMIC
    plain = {0: free, 1: free}
    return plain, plain, plain, {0: free}, [{0: free, 2: free}] * caches


def _meta(model: Any, step: Step) -> dict[str, Any]:
    config = model.config.get_text_config(decoder=True)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "heads": getattr(config, "num_attention_heads", None),
        "kv_elements_per_token": sum(heads * size for heads, size in step.shapes),
        "embedding_rows": model.get_input_embeddings().weight.shape[0],
    }
