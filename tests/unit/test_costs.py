"""What a token costs: by formula where one holds, counted in the model's own code, or unknown."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.model_folder import folder_model
from effmark.record import ModelFacts
from effmark.scores import architecture_from_config, decode_flops, prefill_flops
from effmark_adapters.artefacts.costs import Costs, costs_by_formula, costs_of, fields_of
from effmark_adapters.artefacts.facts import context_tokens, flat_config

pytest.importorskip("torch")
pytest.importorskip("transformers")

HEADS, KV_HEADS, WIDTH, LAYERS = 4, 2, 16, 2
KV_PER_TOKEN = {
    "gpt2": 2 * LAYERS * HEADS * WIDTH,
    "falcon": 2 * LAYERS * 1 * WIDTH,  # multi-query
    "gpt_bigcode": 2 * LAYERS * 1 * WIDTH,
    "mistral": 2 * LAYERS * KV_HEADS * WIDTH,
    "deepseek_v3": LAYERS * (32 + 16),  # latent, and the keys of positions
    "lfm2": 2 * 1 * KV_HEADS * WIDTH,  # one layer of two has attention
    "mamba": 0,
    "gemma3n_text": 2 * 2 * KV_HEADS * WIDTH,  # two layers of four reuse the keys of others
}
SOME = ("gpt2", "opt", "falcon", "bloom", "gemma3", "mixtral", "deepseek_v3", "llama4", "bert")


def _config(tiny_models: ModuleType, family: str) -> tuple[Any, dict[str, Any]]:
    """Return a family's config as transformers has it, and as config.json has it."""
    config = tiny_models.tiny_config(family, tie_word_embeddings=False)
    text = json.loads(json.dumps(config.to_diff_dict(), default=str))
    return config, {"model_type": config.model_type, **text}


NOT_COUNTED = ("gemma3",)
"""A whole that sees looks at its numbers, of which a counted forward has none; its text model,
`gemma3_text`, is counted."""


def _check(tiny_models: ModuleType, family: str) -> bool:
    """Compare formula and count; return whether the formula knows the family."""
    from torch._subclasses.fake_tensor import DataDependentOutputException

    from effmark_adapters.artefacts.counting import count

    config, text = _config(tiny_models, family)
    formula = costs_by_formula(text)
    if formula.unknown:
        assert formula.flops is None and formula.kv_elements is None
        return False
    if family in NOT_COUNTED:
        with pytest.raises(DataDependentOutputException):
            count(config)
        return False
    counted = count(config)
    assert formula.flops == pytest.approx(counted.flops, rel=0.01), family
    kept = ("kv_elements", "window", "window_elements")
    assert [getattr(formula, k) for k in kept] == [getattr(counted, k) for k in kept], family
    return True


@pytest.mark.parametrize("family", SOME)
def test_a_formula_agrees_with_the_counted_forward_or_is_not_used(
    tiny_models: ModuleType, family: str
) -> None:
    _check(tiny_models, family)


@pytest.mark.slow
def test_no_family_of_the_registry_has_a_formula_that_does_not_hold(
    tiny_models: ModuleType,
) -> None:
    known = 0
    for family in tiny_models.families():
        known += _check(tiny_models, family)
    assert known > 85


@pytest.mark.parametrize("family", KV_PER_TOKEN)
def test_the_cache_of_every_kind_of_attention_is_counted(
    tiny_models: ModuleType, tmp_path: Path, family: str
) -> None:
    from effmark_adapters.artefacts.costs import prepare_costs

    folder = tiny_models.make(tmp_path / family, family)
    model = folder_model(family, folder, cache=tmp_path / "cache")
    prepare_costs(model, folder, tmp_path / "cache")
    costs = costs_of(model, folder, tmp_path / "cache")
    assert costs.kv_elements == KV_PER_TOKEN[family]
    assert (costs.state_elements > 0) == (family in ("lfm2", "mamba"))
    assert (costs.window is not None) == (family in ("mistral", "gemma3n_text"))


def test_a_recurrence_is_no_product_and_its_flops_are_unknown_with_the_reason(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.costs import prepare_costs

    folder = tiny_models.make(tmp_path / "jamba", "jamba")
    model = folder_model("jamba", folder, cache=tmp_path / "cache")
    assert "not one whose cost follows" in costs_of(model, folder, tmp_path / "cache").unknown["kv"]
    prepare_costs(model, folder, tmp_path / "cache")
    costs = costs_of(model, folder, tmp_path / "cache")
    assert costs.flops is None and costs.kv_elements == 2 * 2 * KV_HEADS * WIDTH
    assert "recurrent" in costs.unknown["flops"]


def test_code_that_cannot_be_counted_costs_the_numbers_not_the_model(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.costs import prepare_costs

    folder = tiny_models.make(tmp_path / "rwkv", "rwkv")
    model = folder_model("rwkv", folder, cache=tmp_path / "cache")
    prepare_costs(model, folder, tmp_path / "cache")
    costs = costs_of(model, folder, tmp_path / "cache")
    assert costs.flops is None and costs.kv_elements is None
    assert all("\n" not in reason for reason in costs.unknown.values())


def test_a_window_ends_the_growth_of_the_cache_and_of_the_work() -> None:
    config = {
        **{"model_type": "gemma2", "hidden_size": 64, "intermediate_size": 96, "vocab_size": 320},
        **{"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2},
        **{"head_dim": 16, "sliding_window": 8},
    }
    arch = architecture_from_config(config)
    assert (arch.window, arch.window_layers) == (8, 2)
    per_pair = 4 * 4 * 16
    seen = sum(2 * (p + 1) + 2 * min(p + 1, 8) for p in range(20))
    assert prefill_flops(arch, 20).attention == per_pair * seen
    later = sum(2 * (p + 1) + 2 * min(p + 1, 8) for p in range(5, 20))
    assert decode_flops(arch, 15, context=5).attention == per_pair * later
    fields = fields_of(costs_by_formula(config), config, 2)
    facts = ModelFacts(
        parameters=1, weights_b=1, file_b=1, effective_bits=8, kernel="native", weights="random",
        weights_source="none", **fields,
    )  # fmt: skip
    each = 2 * 2 * 16 * 2
    assert facts.kv_cache_b(8) == 4 * each * 8
    assert facts.kv_cache_b(20) == 2 * each * 20 + 2 * each * 8


def test_a_layer_list_survives_in_the_config_of_a_record() -> None:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = {
        **{"model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 96, "vocab_size": 320},
        **{"num_hidden_layers": 3, "num_attention_heads": 4, "sliding_window": 8},
        **{"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": kinds},
    }
    assert architecture_from_config(flat_config(config)).window_layers == 2
    assert architecture_from_config(flat_config(config)) == architecture_from_config(config)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"n_positions": 1024}, 1024),
        ({"n_ctx": 512}, 512),
        ({"max_seq_len": 2048}, 2048),
        ({"seq_length": 64, "model_type": "bloom"}, 64),
        ({"text_config": {"max_position_embeddings": 128}}, 128),
        ({"max_position_embeddings": 514, "model_type": "roberta", "pad_token_id": 1}, 512),
        ({"max_position_embeddings": 2048, "alibi": True, "model_type": "falcon"}, None),
        ({"model_type": "mamba"}, None),
    ],
)
def test_the_longest_context_is_read_under_every_name(
    config: dict[str, Any], tokens: int | None
) -> None:
    assert context_tokens(config) == tokens


def test_unknown_costs_are_none_never_zero() -> None:
    fields = fields_of(Costs(unknown={"kv": "why"}), {}, 2)
    assert fields["kv_bytes_per_token"] is None and fields["flops_per_unit"] is None
