"""A GGUF file of a llama model as a Hugging Face folder in fp32, in numpy.

Query and key rows are put back: GGUF's llama rotates dimension 2i with 2i + 1, Hugging Face i
with i + d/2. Other architectures go through the reader of transformers, which takes a minute.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.gguf_source import Source, Tensor, from_gguf
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
}
"""The tensors of a llama model in GGUF and in a Hugging Face folder, less layer and `.weight`."""


def convert(path: Path, folder: Path) -> None:
    """Fill an empty folder with weights, configuration and tokenizer of a GGUF file."""
    source = from_gguf(path)
    header = {value.key: value.value for value in source.values}
    write_tokenizer(header, _context_tokens(source.architecture, header), folder)
    if _is_plain_llama(source, header):
        _write_llama(source, header, folder)
    else:
        _write_by_transformers(path, folder)


def _context_tokens(architecture: str, header: dict[str, Any]) -> int:
    return int(header[f"{architecture}.context_length"])


def _is_plain_llama(source: Source, header: dict[str, Any]) -> bool:
    known = all(_hf_name(tensor.name) is not None for tensor in source.tensors)
    scaled = header.get("llama.rope.scaling.type", "none") != "none"
    return source.architecture == "llama" and known and not scaled


def _hf_name(name: str) -> str | None:
    """Return the name of a tensor in a Hugging Face folder; None if it is not one of llama's."""
    *block, part, kind = name.split(".")
    if part not in _NAMES or kind != "weight":
        return None
    layer = f"model.layers.{block[1]}." if block else ""
    return f"{layer}{_NAMES[part]}.weight"


def _write_llama(source: Source, header: dict[str, Any], folder: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {_hf_name(tensor.name): _values(tensor, header) for tensor in source.tensors}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = _config(header, tied="lm_head.weight" not in tensors, source=source)
    _write_json(folder / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write_json(folder / "generation_config.json", ids)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def _values(tensor: Tensor, header: dict[str, Any]) -> Any:
    """Return a tensor's float32 values in the order of Hugging Face."""
    import numpy as np

    values = tensor.read()
    part = tensor.name.split(".")[-2]
    if part in ("attn_q", "attn_k"):
        heads = int(header["llama.attention.head_count" + ("_kv" if part == "attn_k" else "")])
        pairs = values.reshape(heads, -1, 2, values.shape[1])
        values = pairs.swapaxes(1, 2).reshape(values.shape)
    return np.ascontiguousarray(values, dtype=np.float32)


def _config(header: dict[str, Any], *, tied: bool, source: Source) -> dict[str, Any]:
    def of(key: str) -> Any:
        return header[f"llama.{key}"]

    heads = int(of("attention.head_count"))
    theta = _shortest(header.get("llama.rope.freq_base", 10000.0))
    embedding = next(t for t in source.tensors if t.name == "token_embd.weight")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": header.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": header.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": header.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
        "head_dim": header.get("llama.attention.key_length", of("embedding_length") // heads),
        "hidden_act": "silu",
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "max_position_embeddings": of("context_length"),
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": of("block_count"),
        "num_key_value_heads": header.get("llama.attention.head_count_kv", heads),
        "rms_norm_eps": _shortest(of("attention.layer_norm_rms_epsilon")),
        "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
        "rope_theta": theta,  # older readers look here
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
        raise PrerequisiteError(
            f"converting {path.name!r} needs torch and transformers; "
            "install them with: pip install 'effmark[torch]'"
        ) from error
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise UnsupportedError(
            f"{path.name}: transformers cannot read it ({error}); give its Hugging Face folder"
        ) from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer = False, None
    model.save_pretrained(folder)
