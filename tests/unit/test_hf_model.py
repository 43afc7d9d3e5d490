from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.torch import TorchAdapter

with warnings.catch_warnings():  # imports of other people's packages
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import load_file, save_file

    from effmark_adapters.artefacts import hf_kind
    from effmark_adapters.artefacts.hf_model import attention_of, load_causal_lm

SIZES: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
GPT2_SIZES = {"vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
BERT_SIZES = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}


def saved(folder: Path, model_class: str, config_class: str, **config: Any) -> Path:
    """Save a tiny model of a class of transformers, of random weights."""
    torch.manual_seed(0)
    settings = getattr(transformers, config_class)(**config)
    getattr(transformers, model_class)(settings).save_pretrained(folder)
    return folder


def llama(folder: Path, **config: Any) -> Path:
    return saved(folder, "LlamaForCausalLM", "LlamaConfig", **{**SIZES, **config})


def without(folder: Path, *endings: str) -> Path:
    """Remove tensors from a folder's file."""
    path = folder / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if not k.endswith(endings)}
    save_file(kept, path, metadata={"format": "pt"})
    return folder


def edited(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def refusal(folder: Path, kind: type[Exception] = UnsupportedError, **how: Any) -> str:
    with pytest.raises(kind) as caught:
        load_causal_lm(folder, torch.float32, **how)
    text = str(caught.value)
    assert len(text) < 400
    assert "\n" not in text
    return text


def test_an_untied_model_without_its_head_is_incomplete(tmp_path: Path) -> None:
    folder = without(llama(tmp_path, tie_word_embeddings=False), "lm_head.weight")
    assert "1 tensor that LlamaForCausalLM needs is in none of its weight files, 'lm_head.weight'" \
        in refusal(folder, PrerequisiteError)  # fmt: skip


def test_a_model_without_some_matrices_names_the_first_and_counts_them(tmp_path: Path) -> None:
    folder = saved(tmp_path, "GPT2LMHeadModel", "GPT2Config", **GPT2_SIZES)
    text = refusal(without(folder, "mlp.c_fc.weight"), PrerequisiteError)
    assert "2 tensors" in text
    assert "'transformer.h.0.mlp.c_fc.weight' first" in text


def test_a_tied_model_needs_no_head_in_its_file(tmp_path: Path) -> None:
    folder = llama(tmp_path, tie_word_embeddings=True)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    model = load_causal_lm(folder, torch.float32)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path: Path) -> None:
    folder = edited(llama(tmp_path), intermediate_size=40)
    text = refusal(folder, PrerequisiteError)
    assert "mlp.down_proj.weight' has shape [32, 48], its config says [32, 40]" in text


def test_a_bias_that_the_config_denies_is_not_left_out(tmp_path: Path) -> None:
    folder = edited(llama(tmp_path, attention_bias=True), attention_bias=False)
    assert "'model.layers.0.self_attn.k_proj.bias' first" in refusal(folder, PrerequisiteError)


def test_a_shard_that_is_not_there_is_an_incomplete_folder(tmp_path: Path) -> None:
    llama(tmp_path)
    model = transformers.LlamaForCausalLM.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    sorted(tmp_path.glob("model-*.safetensors"))[-1].unlink()
    assert "cannot be read" in refusal(tmp_path, PrerequisiteError)


@pytest.mark.parametrize(
    ("model_class", "config_class", "sizes", "reason"),
    [
        ("BertForMaskedLM", "BertConfig", BERT_SIZES, "is a BertForMaskedLM, not a causal"),
        ("RobertaForSequenceClassification", "RobertaConfig", BERT_SIZES,
         "is a RobertaForSequenceClassification, not a causal"),
        ("BertLMHeadModel", "BertConfig", BERT_SIZES, "is_decoder is not set"),
        ("GPT2Model", "GPT2Config", GPT2_SIZES, "bare GPT2Model without a language model head"),
        ("LlamaForSequenceClassification", "LlamaConfig", {**SIZES, "pad_token_id": 0},
         "LlamaForSequenceClassification, not a causal"),
        ("BartForConditionalGeneration", "BartConfig",
         {"vocab_size": 96, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
          "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
          "decoder_ffn_dim": 32, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
         "is an encoder-decoder (BartForConditionalGeneration)"),
        ("T5ForConditionalGeneration", "T5Config",
         {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1,
          "num_heads": 4}, "no causal language model of type 't5'"),
    ],
)  # fmt: skip
def test_what_is_no_causal_lm_is_refused_by_what_it_is(
    tmp_path: Path, model_class: str, config_class: str, sizes: dict[str, Any], reason: str
) -> None:
    assert reason in refusal(saved(tmp_path, model_class, config_class, **sizes))


@pytest.mark.parametrize(
    ("model_class", "config_class", "sizes"),
    [
        ("GPT2LMHeadModel", "GPT2Config", GPT2_SIZES),
        ("BertLMHeadModel", "BertConfig", {**BERT_SIZES, "is_decoder": True}),
        ("OpenAIGPTLMHeadModel", "OpenAIGPTConfig", GPT2_SIZES),
    ],
)
def test_a_causal_lm_is_one_by_the_registry_whatever_its_name(
    tmp_path: Path, model_class: str, config_class: str, sizes: dict[str, Any]
) -> None:
    model = load_causal_lm(saved(tmp_path, model_class, config_class, **sizes), torch.float32)
    assert type(model).__name__ == model_class
    assert not model.training


def test_an_older_spelling_of_a_class_is_loaded(tmp_path: Path) -> None:
    folder = edited(llama(tmp_path), architectures=["LLaMAForCausalLM"])
    assert type(load_causal_lm(folder, torch.float32)).__name__ == "LlamaForCausalLM"


def test_attention_is_fused_where_the_class_has_it_and_eager_elsewhere(tmp_path: Path) -> None:
    bloom = saved(tmp_path / "bloom", "BloomForCausalLM", "BloomConfig", vocab_size=96,
                  hidden_size=32, n_layer=1, n_head=4)  # fmt: skip
    mamba = saved(tmp_path / "mamba", "MambaForCausalLM", "MambaConfig", vocab_size=96,
                  hidden_size=32, num_hidden_layers=1, state_size=4)  # fmt: skip
    chosen = {
        folder.name: attention_of(load_causal_lm(folder, torch.float32))
        for folder in (llama(tmp_path / "llama"), bloom, mamba)
    }
    assert chosen == {"llama": "sdpa", "bloom": "eager", "mamba": "none"}
    assert "BloomForCausalLM has no attention by sdpa" in refusal(bloom, attention="sdpa")
    assert attention_of(load_causal_lm(tmp_path / "llama", torch.float32, attention="eager")) \
        == "eager"  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptq"),
        ({"quant_method": "awq", "bits": 4}, "awq"),
        ({"load_in_4bit": True, "quant_method": "bitsandbytes"}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "compressed-tensors"),
        ({"quant_method": "of-tomorrow"}, "of-tomorrow"),
    ],
)
def test_weights_quantised_by_another_tool_are_refused_by_its_name(
    tmp_path: Path, settings: dict[str, Any], method: str
) -> None:
    text = refusal(edited(llama(tmp_path), quantization_config=settings))
    assert f"quantised by {method}" in text
    assert "before quantisation" in text


def test_fp8_weights_are_expanded_to_what_they_stand_for(tmp_path: Path) -> None:
    folder = llama(tmp_path, tie_word_embeddings=False)
    stored: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        stored[name] = weight.to(torch.bfloat16)
        expected[name] = stored[name].float()
        if name.endswith("proj.weight"):
            scale = weight.abs().max() / 448  # the largest number of e4m3
            stored[name] = (weight / scale).to(torch.float8_e4m3fn)
            stored[f"{name}_scale_inv"] = scale.reshape(1, 1)
            expected[name] = stored[name].float() * scale
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    model = load_causal_lm(edited(folder, quantization_config=settings), torch.float32)
    for name, parameter in model.named_parameters():
        assert parameter.dtype is torch.float32, name
        assert torch.equal(parameter, expected[name]), name
    assert model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()


def test_the_adapter_names_the_quantisations_that_are_expanded() -> None:
    assert TorchAdapter.quantised == hf_kind.DEQUANTISED


def test_mxfp4_experts_are_expanded_to_what_they_stand_for(
    tmp_path: Path, tiny_models: ModuleType
) -> None:
    folder = tiny_models.make(tmp_path, "gpt_oss")
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    values = torch.cat([values, -values])
    stored: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for name, weight in load_file(folder / "model.safetensors").items():
        stored[name] = weight.to(torch.bfloat16)
        expected[name] = stored[name].float()
        if weight.ndim == 3:
            experts, columns, rows = weight.shape
            shape = (experts, rows, columns // 32)
            blocks = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=generator)
            scales = torch.randint(118, 124, shape, dtype=torch.uint8, generator=generator)
            del stored[name]
            stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            pairs = torch.stack([values[(blocks & 15).long()], values[(blocks >> 4).long()]], -1)
            whole = pairs.flatten(-2) * torch.exp2(scales.float() - 127)[..., None]
            expected[name] = whole.reshape(experts, rows, columns).transpose(1, 2)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    model = load_causal_lm(
        edited(folder, quantization_config={"quant_method": "mxfp4"}), torch.float32
    )
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_code_of_the_folder_runs_only_where_it_is_trusted(tmp_path: Path) -> None:
    folder = edited(
        llama(tmp_path),
        model_type="mine",
        architectures=["MineForCausalLM"],
        auto_map={"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.MineForCausalLM"},
    )
    (folder / "mine.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MineConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MineForCausalLM(LlamaForCausalLM):\n    config_class = MineConfig\n"
    )
    assert "--trust-remote-code" in refusal(folder)
    model = load_causal_lm(folder, torch.float32, trust_remote_code=True)
    assert type(model).__name__ == "MineForCausalLM"
    assert "in none of its weight files" in refusal(
        without(folder, "up_proj.weight"), PrerequisiteError, trust_remote_code=True
    )


def test_a_known_type_needs_no_code_of_its_folder(tmp_path: Path) -> None:
    own = {"AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"}
    folder = edited(llama(tmp_path), auto_map=own)
    assert type(load_causal_lm(folder, torch.float32)).__name__ == "LlamaForCausalLM"


def test_a_model_type_of_nobody_is_one_sentence(tmp_path: Path) -> None:
    folder = edited(llama(tmp_path), model_type="unheard-of", architectures=["UnheardForCausalLM"])
    assert "knows no model type 'unheard-of'" in refusal(folder)


def test_a_field_of_the_wrong_kind_is_one_sentence(tmp_path: Path) -> None:
    assert "transformers" in refusal(edited(llama(tmp_path), hidden_size="many"))
