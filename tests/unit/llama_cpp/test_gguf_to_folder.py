"""A GGUF file as a Hugging Face folder: the same model, or refused by name; nothing is invented."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.errors import UnsupportedError

for _needed in ("gguf", "torch", "transformers", "safetensors"):
    if importlib.util.find_spec(_needed) is None:
        pytest.skip("pip install 'effmark[torch]'", allow_module_level=True)

LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
}
YARN = {
    **{"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0},
    "original_max_position_embeddings": 32,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-3 rotation": ("llama", {"rope_parameters": LLAMA3}),
    "qwen2": ("qwen2", {"tied": True}),
    "qwen3": ("qwen3", {"rope_parameters": {**YARN, "rope_type": "linear"}}),
}


def written(folder: Path, path: Path) -> Path:
    """Write a folder as a GGUF file in f32."""
    from effmark_adapters.artefacts.gguf_file import write_gguf
    from effmark_adapters.artefacts.gguf_from_hf import from_folder

    write_gguf(from_folder(folder), "f32", path)
    return path


def logits(folder: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(torch.arange(20, 60)[None]).logits


@pytest.mark.parametrize("name", MODELS)
def test_a_file_becomes_the_model_that_it_came_from(
    tiny_models: ModuleType, tmp_path: Path, name: str
) -> None:
    from effmark_adapters.artefacts.gguf_to_hf import convert

    family, settings = MODELS[name]
    folder = tiny_models.make(tmp_path / "model", family, **settings)
    again = tmp_path / "again"
    again.mkdir()
    convert(written(folder, tmp_path / "m.gguf"), again)
    assert (logits(folder) - logits(again)).abs().max() < 1e-4
    assert not (again / "pytorch_model.bin").exists()


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("mixtral", {}, r"tensor 'blk.0.ffn_gate_inp.weight' of a 'llama' is not read here"),
        ("olmo2", {}, "architecture 'olmo2' is not one that transformers reads from GGUF"),
        (
            "llama",
            {"rope_parameters": {**LLAMA3, "original_max_position_embeddings": 32}},
            "'rope_freqs.weight' is not llama 3's",
        ),
        ("llama", {"rope_parameters": {**YARN, "attention_factor": 1.3}}, "scaled by 'yarn'"),
    ],
)
def test_what_is_not_read_is_refused_before_anything_is_written(
    tiny_models: ModuleType, tmp_path: Path, family: str, settings: dict[str, Any], sentence: str
) -> None:
    from effmark_adapters.artefacts.gguf_to_hf import convert

    folder = tiny_models.make(tmp_path / "model", family, **settings)
    path = written(folder, tmp_path / "m.gguf")
    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(UnsupportedError, match=sentence):
        convert(path, again)
    assert not list(again.iterdir())
