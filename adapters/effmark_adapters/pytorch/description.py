"""What a record says about the runtime and the quantisation of a loaded model."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import torch
import transformers

from effmark.adapter import LoadRequest
from effmark_adapters.artefacts.facts import Scalar
from effmark_adapters.artefacts.hf_model import attention_of
from effmark_adapters.pytorch import request as requests
from effmark_adapters.pytorch.quantised import NATIVE_TOKENS, Int8Linear
from effmark_adapters.pytorch.weights import Weights

__all__ = ["kernel", "quantisation", "runtime"]

_KERNELS = {
    "int8": f"aten::_weight_int8pack_mm up to {NATIVE_TOKENS} tokens, expanded to bf16 above",
    "int4": "aten::_weight_int4pack_mm_for_cpu",
}


def kernel(request: LoadRequest) -> Literal["native", "emulated"]:
    """Return whether the arithmetic reads the weights at their precision."""
    on_cpu = request.device == "cpu"
    if request.precision == "bf16" and on_cpu:
        return "native" if _has_bf16() else "emulated"
    if request.precision == "int8" and not on_cpu and request.model.kind != "digits":
        return "emulated"  # expanded to bf16 for every product
    return "native"


def _has_bf16() -> bool:
    found = torch.cpu.get_capabilities()
    return found.get("architecture") != "x86_64" or bool(
        found.get("avx512_bf16") or found.get("amx_bf16")
    )


def quantisation(request: LoadRequest, weights: Weights) -> dict[str, Scalar]:
    """Return bits, groups and how many layers have them."""
    bits = {"fp32": 32, "bf16": 16, "int8": 8, "int4": 4}[request.precision]
    found: dict[str, Scalar] = {"matrix_bits": bits}
    if request.model.kind == "digits":
        found["activations"] = "int8, dynamic" if bits == 8 else request.precision
        return found
    found["activations"] = "fp32" if bits == 32 else "bf16"
    is_packed = bool(weights.plan.groups)
    head = weights.net.get_output_embeddings()
    found["embedding_bits"] = 8 if weights.plan.tables else max(16, bits)
    found["head_bits"] = 8 if isinstance(head, Int8Linear) else max(16, bits)
    if is_packed:
        counts = Counter(4 if group else 8 for group in weights.plan.groups.values())
        found |= {f"int{width}_layers": count for width, count in sorted(counts.items())}
        found |= {f"share_{width}bit": round(s, 4) for width, s in weights.shares().items()}
        found["int8_scales"] = "one per row, symmetric"
    if bits == 4:
        found |= {"group_size": requests.group(request), "symmetric": False}
    return found


def runtime(request: LoadRequest, weights: Weights, compile_s: float | None) -> dict[str, Scalar]:
    """Return versions, threads, and what does the arithmetic."""
    found: dict[str, Scalar] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "compiled": compile_s is not None,
    }
    if compile_s is not None:
        found["compile_s"] = compile_s
    if request.precision in _KERNELS and request.device == "cpu":
        found["kernel"] = _KERNELS[request.precision]
    if request.model.kind == "digits":
        found["kernel"] = "aten::_int_mm" if request.precision == "int8" else "aten::linear"
    else:
        found["attention"] = attention_of(weights.net)
    if request.device != "cpu":
        found["device"] = torch.cuda.get_device_name(request.device.replace("rocm", "cuda"))
    return found
