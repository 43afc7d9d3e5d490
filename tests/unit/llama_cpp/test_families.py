"""Models of every architecture that becomes GGUF calculate what transformers calculates."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import EffmarkError, PrerequisiteError, UnsupportedError
from effmark.models import resolve_model

for _needed in ("gguf", "torch", "transformers", "xllamacpp"):
    if importlib.util.find_spec(_needed) is None:
        pytest.skip("pip install 'effmark[llama-cpp,torch]'", allow_module_level=True)

TIED: dict[str, Any] = {"tied": True}
WIDE: dict[str, Any] = {"sliding_window": 64}
OFTEN: dict[str, dict[str, Any]] = {
    "bloom": {},
    "falcon": {},
    "gemma2": {**TIED, "query_pre_attn_scalar": 16},
    "gemma3_text": {"query_pre_attn_scalar": 16},
    "gemma3": TIED,
    "gpt2": {},
    "lfm2": TIED,
    "mamba2": {},
    "mistral": WIDE,
    "mixtral": {},
    "olmo2": TIED,
    "phi3": {},
    "qwen2": {},
    "qwen3_moe": {"norm_topk_prob": True},
    "stablelm": {"qk_layernorm": True, "use_qkv_bias": True},
}
"""One architecture of each kind, with what a tiny model of it needs."""
SELDOM: dict[str, dict[str, Any]] = {
    "cohere": TIED,
    "cohere2": TIED,
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 2},
    "falcon_mamba": {"intermediate_size": 128},
    "gemma": TIED,
    "mamba": {"intermediate_size": 128},
    "ministral": WIDE,
    "olmoe": {"num_key_value_heads": 4},
    "smollm3": {
        "num_hidden_layers": 4,
        "no_rope_layers": [1, 1, 1, 0],
        "layer_types": ["full_attention"] * 4,
    },
}
"""What the rest needs; those that are not here need nothing."""
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {
    **{"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "attention_factor": 1.3},
    "original_max_position_embeddings": 32,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-3 rotation": ("llama", {"rope_parameters": LLAMA3}),
    "longer context by yarn": ("qwen2", {"rope_parameters": YARN}),
    "two rotations": (
        "gemma3_text",
        {
            "query_pre_attn_scalar": 16,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "rope_theta": 1e4, "factor": 8.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
            },
        },
    ),
    "wide heads": ("llama", {"head_dim": 32}),
    "one branch after the other": ("gpt_neox", {"use_parallel_residual": False}),
    "one table at both ends of phi": ("phi", TIED),
    "one table at both ends of stablelm": ("stablelm", TIED),
    "one table at both ends of qwen2_moe": ("qwen2_moe", TIED),
    "groups of heads": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
}
FLAT = {"query_pre_attn_scalar": 16, "layer_types": ["full_attention"] * 2}
"""No layer of two has a window."""
TEXT = [24, 61, 200, 117, 33, 90, 251, 18, 77, 140, 64, 205, 31, 99, 182, 46, 210, 57, 83, 160]


def _families() -> list[str]:
    from effmark_adapters.artefacts.gguf_families import FAMILIES

    return sorted(set(FAMILIES) - set(OFTEN))


def request(folder: Path, precision: str = "f32", **settings: Any) -> LoadRequest:
    model = resolve_model(str(folder), folder.parent)
    wanted: dict[str, Any] = {"context_tokens": 32, "batch": 2, **settings}
    return LoadRequest(model=model, precision=precision, cache=folder.parent / "cache", **wanted)


def reference(folder: Path, ids: list[int]) -> Any:
    """Return the log-probabilities after every token, without a cache, attention as written."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    return torch.log_softmax(logits, -1).numpy()


def check(folder: Path) -> None:
    import numpy as np

    from effmark_adapters.llama_cpp import LlamaCppAdapter

    true = reference(folder, TEXT)
    spread = np.abs(true - true.mean(axis=1, keepdims=True)).max()
    adapter = LlamaCppAdapter()
    adapter.load(request(folder))
    try:
        (whole,) = adapter.log_probs([(TEXT[:1], TEXT[1:])])
        shared = adapter.log_probs([(TEXT[:9], TEXT[9:12]), (TEXT[:6], TEXT[6:8])])
        decoded = adapter.replay([TEXT[:12], TEXT[:5]], [TEXT[12:20], TEXT[5:13]])
    finally:
        adapter.close()
    wanted = [true[:-1], true[8:11], true[5:7], true[11:19], true[4:12]]
    for found, rows in zip([whole, *shared, *decoded], wanted, strict=True):
        # GELU by a table of f16 is the coarsest: 6e-4; what is wrong is off by 1e-2 and more.
        assert np.abs(found[:, : rows.shape[1]] - rows).max() < 1e-3 * spread


@pytest.mark.parametrize("family", OFTEN)
def test_an_architecture_is_right(tiny_models: ModuleType, tmp_path: Path, family: str) -> None:
    check(tiny_models.make(tmp_path / "model", family, **OFTEN[family]))


@pytest.mark.slow
@pytest.mark.parametrize("family", _families())
def test_every_other_architecture_is_right(
    tiny_models: ModuleType, tmp_path: Path, family: str
) -> None:
    check(tiny_models.make(tmp_path / "model", family, **SELDOM.get(family, {})))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_right(tiny_models: ModuleType, tmp_path: Path, variant: str) -> None:
    family, settings = VARIANTS[variant]
    check(tiny_models.make(tmp_path / "model", family, **settings))


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("gptj", {}, "model_type 'gptj' is not one of the"),
        ("deepseek_v3", {}, "model_type 'deepseek_v3' is not one"),
        ("gemma", {}, "tie_word_embeddings False, llama.cpp takes the embedding for the head"),
        ("qwen3_moe", {"norm_topk_prob": False}, "norm_topk_prob False"),
        ("exaone4", {}, "sliding_window 12"),
        ("smollm3", {}, r"no_rope_layers \[1, 0\]"),
        ("mamba", {}, "an inner width of"),
        ("mistral", {}, "right in llama.cpp up to 12 tokens, 32 are asked for"),
        ("llama", {"rope_parameters": {**YARN, "beta_fast": 16.0}}, "beta_fast 16.0 for rope_type"),
        ("qwen2", {"rope_parameters": {**YARN, "mscale": 0.7}}, "mscale 0.7 .* does not know it"),
        ("olmo3", {"layer_types": ["full_attention"] * 2}, "needs a layer with a window"),
        ("gemma2", {**TIED, **FLAT}, "needs a layer with a window"),
    ],
)
def test_what_would_come_out_wrong_is_refused_before_any_work(
    tiny_models: ModuleType,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    family: str,
    settings: dict[str, Any],
    sentence: str,
) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    wanted = request(tiny_models.make(tmp_path / "model", family, **settings))
    capfd.readouterr()
    with pytest.raises(UnsupportedError, match=sentence):
        gguf_file(wanted)
    assert "preparing" not in capfd.readouterr().err


def test_positions_that_were_never_learned_are_refused(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    folder = tiny_models.make(tmp_path / "model", "gpt2", n_positions=24)
    adapter = LlamaCppAdapter()
    with pytest.raises(UnsupportedError, match="up to 24 tokens, 25 are asked for"):
        adapter.load(request(folder, context_tokens=25))
    adapter.load(request(folder, context_tokens=24))
    adapter.close()
    made = next((tmp_path / "cache/gguf").glob("*/model.gguf"))
    with pytest.raises(UnsupportedError, match="up to 24 tokens, 25 are asked for"):
        adapter.load(request(made, "as_is", context_tokens=25))


def _without(folder: Path, name: str) -> None:
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if k != name}, path, {"format": "pt"})


@pytest.mark.parametrize(
    "name", ["lm_head.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"]
)
def test_a_missing_tensor_is_named_and_never_invented(
    tiny_models: ModuleType, tmp_path: Path, name: str
) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "model", "llama")
    _without(folder, name)
    with pytest.raises(PrerequisiteError, match=f"lack the tensor '{name.removeprefix('model.')}'"):
        gguf_file(request(folder))
    assert not list((tmp_path / "cache").glob("gguf/*/*"))


def test_a_missing_shard_is_found_before_the_conversion(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "model", "qwen2", shards=3)
    wanted = request(folder)
    sorted(folder.glob("*.safetensors"))[-1].unlink()
    with pytest.raises(EffmarkError, match="not there"):
        gguf_file(wanted)
    assert not list((tmp_path / "cache").glob("gguf/*/*"))


def test_a_tensor_without_a_place_is_named(tiny_models: ModuleType, tmp_path: Path) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "model", "llama", attention_bias=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_bias": False}))
    with pytest.raises(UnsupportedError, match=r"self_attn.k_proj.bias' has no place"):
        gguf_file(request(folder))


def test_a_classifier_is_no_language_model(tiny_models: ModuleType, tmp_path: Path) -> None:
    from effmark_adapters.artefacts.gguf_from_hf import read_family

    folder = tiny_models.make(tmp_path / "model", "llama")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match="would run it as 'LlamaForCausalLM'"):
        read_family(folder)


def test_a_published_config_means_what_it_leaves_out(tmp_path: Path) -> None:
    from effmark_adapters.artefacts.gguf_from_hf import read_family

    text = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34}
    text |= {"intermediate_size": 10240, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    whole = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
    (tmp_path / "config.json").write_text(json.dumps({**whole, "text_config": text}))
    family, config = read_family(tmp_path)
    assert family.architecture == "gemma3"
    assert (config.heads, config.kv_heads, config.head_dim) == (8, 4, 256)
    assert config.rope["factor"] == 8.0


def test_a_config_without_a_needed_number_says_which(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "model", "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": None}))
    with pytest.raises(UnsupportedError, match="hidden_size None, which must be a number"):
        gguf_file(request(folder))


def test_an_edited_template_makes_another_file(tiny_models: ModuleType, tmp_path: Path) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "model", "llama")
    wanted = request(folder)
    (folder / "chat_template.jinja").write_text("one")
    first = gguf_file(wanted).path
    (folder / "chat_template.jinja").write_text("two")
    second = gguf_file(wanted).path
    assert first != second
    assert b"two" in second.read_bytes()


def test_a_name_that_few_weights_have_is_refused(tiny_models: ModuleType, tmp_path: Path) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    folder = tiny_models.make(tmp_path / "model", "llama", **small)
    with pytest.raises(UnsupportedError, match=r"q4_0: only 2\d% of the weights would be Q4_0"):
        gguf_file(request(folder, "q4_0"))
    assert gguf_file(request(folder, "q8_0")).facts.matrix_type == "Q8_0"
    facts = gguf_file(request(tiny_models.make(tmp_path / "b", "llama"), "q4_0")).facts
    assert facts.shares["Q4_0"] > 0.5
    assert sum(facts.shares.values()) == pytest.approx(1)
