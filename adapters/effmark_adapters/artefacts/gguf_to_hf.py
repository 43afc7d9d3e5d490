"""A GGUF file of a llama or Qwen model as a Hugging Face folder in fp32, in numpy.

Query and key rows of a llama are put back: GGUF's llama rotates dimension 2i with 2i + 1, Hugging
Face i with i + d/2. Other architectures go through the reader of transformers, which takes a
minute; what it would draw at random or leave out is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.gguf_rope import llama3_factors
from effmark_adapters.artefacts.gguf_source import Source, Tensor, from_gguf, gguf_files
from effmark_adapters.artefacts.gguf_vocabulary import write_tokenizer

__all__ = ["convert"]

_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}
"""The tensors of these models in GGUF and in a Hugging Face folder, less layer and suffix."""
_CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""Architectures that are read here, by their name in both formats."""


def convert(path: Path, folder: Path) -> None:
    """Fill an empty folder with weights, configuration and tokenizer of a GGUF file.

    Raises:
        UnsupportedError: an architecture, a rotation or a tokenizer that nobody here reads.
        PrerequisiteError: a file is damaged or missing, or a package is.
    """
    source = from_gguf(path)
    header = {value.key: value.value for value in source.values}
    context_tokens = int(header[f"{source.architecture}.context_length"])
    if source.architecture not in _CLASSES:
        _check_readable(path, source)
        write_tokenizer(header, context_tokens, folder)
        return _write_by_transformers(path, folder)
    _check_names(path, source)
    rope = _rope(path, source, header)
    write_tokenizer(header, context_tokens, folder)
    return _write_here(source, header, rope, folder)


def _check_names(path: Path, source: Source) -> None:
    for tensor in source.tensors:
        if _hf_name(tensor.name) is None and tensor.name != _FREQUENCIES:
            raise UnsupportedError(
                f"{path.name}: tensor {tensor.name!r} of a {source.architecture!r} is not read "
                "here; give the model's Hugging Face folder"
            )


_FREQUENCIES = "rope_freqs.weight"


def _rope(path: Path, source: Source, header: dict[str, Any]) -> dict[str, Any]:
    """Return the rotation in the words of a config."""
    of = f"{source.architecture}.rope."
    rope = {"rope_theta": _shortest(header.get(f"{of}freq_base", 10000.0)), "rope_type": "default"}
    kind = header.get(f"{of}scaling.type", "none")
    given = next((t.read() for t in source.tensors if t.name == _FREQUENCIES), None)
    if given is not None and kind == "none":
        return _llama3_rope(path, rope, given)
    if given is None and kind == "none":
        return rope
    original = header.get(f"{of}scaling.original_context_length")
    if given is not None or kind not in ("linear", "yarn") or f"{of}scaling.attn_factor" in header:
        raise UnsupportedError(
            f"{path.name}: a rotation scaled by {kind!r} in this way is not read here; give the "
            "model's Hugging Face folder"
        )
    rope |= {"rope_type": kind, "factor": float(header[f"{of}scaling.factor"])}
    return rope | ({"original_max_position_embeddings": original} if original else {})


def _llama3_rope(path: Path, rope: dict[str, Any], given: Any) -> dict[str, Any]:
    """Return the settings of llama 3 that make these factors; its low and high are 1 and 4."""
    import numpy as np

    found = {
        **rope,
        "rope_type": "llama3",
        "factor": _shortest(given.max()),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    made = llama3_factors(found, 2 * len(given))
    if not np.allclose(made, given, rtol=1e-4):
        raise UnsupportedError(
            f"{path.name}: its {_FREQUENCIES!r} is not llama 3's for 8192 original tokens; give "
            "the model's Hugging Face folder"
        )
    return found


def _check_readable(path: Path, source: Source) -> None:
    """Refuse what transformers would not read, or would read a part of."""
    try:
        from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
    except ImportError as error:
        raise _needs_transformers(path) from error
    if source.architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        raise UnsupportedError(
            f"{path.name}: architecture {source.architecture!r} is not one that transformers reads "
            f"from GGUF, {', '.join(sorted(GGUF_SUPPORTED_ARCHITECTURES))}; give the model's "
            "Hugging Face folder"
        )
    if len(gguf_files(path)) > 1:
        raise UnsupportedError(
            f"{path.name}: transformers reads no {source.architecture!r} in several files; merge "
            "them with llama-gguf-split --merge, or give the model's Hugging Face folder"
        )


def _hf_name(name: str) -> str | None:
    """Return the name of a tensor in a Hugging Face folder; None if it has none here."""
    *block, part, kind = name.split(".")
    if part not in _NAMES or kind not in ("weight", "bias"):
        return None
    layer = f"model.layers.{block[1]}." if block else ""
    return f"{layer}{_NAMES[part]}.{kind}"


def _write_here(source: Source, header: dict[str, Any], rope: dict[str, Any], folder: Path) -> None:
    from safetensors.numpy import save_file

    kept = [tensor for tensor in source.tensors if tensor.name != _FREQUENCIES]
    tensors = {_hf_name(tensor.name): _values(tensor, source, header) for tensor in kept}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(header, tied="lm_head.weight" not in tensors, source=source, rope=rope)
    _write_json(folder / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", ids)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _values(tensor: Tensor, source: Source, header: dict[str, Any]) -> Any:
    """Return a tensor's float32 values in the order of Hugging Face."""
    import numpy as np

    values = tensor.read()
    part = tensor.name.split(".")[-2]
    if part in ("attn_q", "attn_k") and source.architecture == "llama":
        key, default = "llama.attention.head_count", header["llama.attention.head_count"]
        heads = int(header.get(f"{key}_kv", default) if part == "attn_k" else default)
        pairs = values.reshape(heads, -1, 2, *values.shape[1:])
        values = pairs.swapaxes(1, 2).reshape(values.shape)
    return np.ascontiguousarray(values, dtype=np.float32)


def _config(
    header: dict[str, Any], *, tied: bool, source: Source, rope: dict[str, Any]
) -> dict[str, Any]:
    def of(key: str, default: Any = None) -> Any:
        found = header.get(f"{source.architecture}.{key}", default)
        if found is None:
            raise UnsupportedError(f"the GGUF header has no {source.architecture}.{key}")
        return found

    heads = int(of("attention.head_count"))
    names = {tensor.name for tensor in source.tensors}
    embedding = next(t for t in source.tensors if t.name == "token_embd.weight")
    return {
        "architectures": [_CLASSES[source.architecture]],
        "model_type": source.architecture,
        "attention_bias": "blk.0.attn_q.bias" in names,
        "bos_token_id": header.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": header.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
        "head_dim": of("attention.key_length", of("embedding_length") // heads),
        "hidden_act": "silu",
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "mlp_bias": "blk.0.ffn_up.bias" in names,
        "num_attention_heads": heads,
        "num_hidden_layers": of("block_count"),
        "num_key_value_heads": of("attention.head_count_kv", heads),
        "rms_norm_eps": _shortest(of("attention.layer_norm_rms_epsilon")),
        "rope_parameters": rope,
        "rope_theta": rope["rope_theta"],  # older readers look here
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": embedding.shape[0],
    }


def _shortest(value: float) -> float:
    """Return the shortest decimal of a float32: 1e-05, not 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def _write_by_transformers(path: Path, folder: Path) -> None:
    try:
        import torch
        from transformers import AutoModelForCausalLM
    except ImportError as error:
        raise _needs_transformers(path) from error
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32, output_loading_info=True
        )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UnsupportedError(
            f"{path.name}: transformers cannot read it ({error}); give its Hugging Face folder"
        ) from error
    if info["missing_keys"]:
        raise UnsupportedError(
            f"{path.name}: transformers finds no {min(info['missing_keys'])!r} in it and would "
            "draw it at random; give the model's Hugging Face folder"
        )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.save_pretrained(folder)


def _needs_transformers(path: Path) -> PrerequisiteError:
    return PrerequisiteError(
        f"converting {path.name!r} needs torch and transformers; "
        "install them with: pip install 'effmark[torch]'"
    )
