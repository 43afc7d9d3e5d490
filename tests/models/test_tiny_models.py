"""The tiny models are what the other tests take them for: whole, causal, sensitive, as asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

NOT_CAUSAL = ("cpmant", "xlm", "xlnet")
"""Families of the registry whose forward sees later tokens; no runtime may call them causal."""
SOME = ("gpt2", "gemma3_text", "mixtral", "deepseek_v3", "mamba", "lfm2", "qwen3_5", "bert")


def _load(folder: Path) -> Any:
    model, notes = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not notes["missing_keys"], notes["missing_keys"]
    return model.eval()


def _logits(model: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float()


def _check(folder: Path, family: str) -> None:
    model = _load(folder)
    ids = torch.randint(16, 300, (20,), generator=torch.Generator().manual_seed(1)).tolist()
    logits = _logits(model, ids)
    assert logits.isfinite().all()
    assert 0.3 < logits.std() < 10
    first, late = [ids[0] + 1, *ids[1:]], [*ids[:14], ids[14] + 1, *ids[15:]]
    assert (_logits(model, first)[-1] - logits[-1]).abs().max() > 0.01, "forgets the first token"
    change = (_logits(model, late) - logits).abs().amax(-1)
    assert change[-1] > 0.05, "does not hear a token near the end"
    assert (change[:14].max() < 1e-4) == (family not in NOT_CAUSAL), "sees later tokens, or not"


@pytest.mark.parametrize("family", SOME)
def test_a_tiny_model_is_whole_and_every_token_matters(
    tiny_models: ModuleType, tmp_path: Path, family: str
) -> None:
    _check(tiny_models.make(tmp_path, family), family)


@pytest.mark.slow
def test_every_family_of_the_registry_is_built_or_named_with_a_reason(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    faults = {}
    for family in tiny_models.families():
        try:
            _check(tiny_models.make(tmp_path / family, family), family)
        except AssertionError as fault:  # all of them, not the first
            faults[family] = str(fault).splitlines()[0]
        shutil.rmtree(tmp_path / family)
    assert faults == {}


def test_the_families_come_from_the_registry(tiny_models: ModuleType) -> None:
    named = {*tiny_models.families(), *tiny_models.unbuildable()}
    assert named == set(tiny_models.registry())
    assert len(tiny_models.unbuildable()) < 0.05 * len(named)


def test_a_tiny_model_can_be_tied_bf16_and_in_shards(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    folder = tiny_models.make(tmp_path, "qwen2", tied=True, dtype="bfloat16", shards=2)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) >= 2
    assert "lm_head.weight" not in index["weight_map"]
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    assert _load(folder).lm_head.weight.data_ptr() > 0


def test_a_family_that_cannot_be_tied_is_not_called_tied(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="tied=True"):
        tiny_models.make(tmp_path, "xlstm", tied=True)


def test_the_tokenizer_says_every_byte_and_fits_the_model(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.tokenizer import TextTokenizer

    tiny_models.write_tokenizer(tmp_path)
    tokenizer = TextTokenizer(tmp_path)
    text = "the café → \x00\n"
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert min(ids) >= 16 and max(ids) < tiny_models.VOCABULARY
