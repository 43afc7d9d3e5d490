"""LoRA adapters: added into their base as the unmerged model computes, or refused by name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import EffmarkError, PrerequisiteError, SpecError, UnsupportedError
from effmark.estimates import resident_b
from effmark.models import resolve_model
from effmark.spec import Cell, Decode, ModelRef
from effmark.suites import data_file
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

Tensors = dict[str, Any]
IDS = [[3, 1, 4, 1, 5, 9, 2, 6]]
R, ALPHA = 4, 6


def config(kind: str) -> Any:
    ids = {"bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=48, n_embd=32, n_layer=2, n_head=4, n_positions=64, **ids
        )
    return transformers.LlamaConfig(
        vocab_size=48, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=kind == "tied", **ids,
    )  # fmt: skip


@pytest.fixture(params=["tied", "untied", "gpt2"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    folder = tmp_path / "base"
    model = transformers.AutoModelForCausalLM.from_config(config(request.param))
    model.save_pretrained(folder, max_shard_size="30KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(data_file("family", "effmark-1m") / name, folder)
    return folder


def load(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def targets(base: Path) -> list[str]:
    """Return modules of each shape: square, wide, and the head."""
    if json.loads((base / "config.json").read_text())["model_type"] == "gpt2":
        return ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_proj", "lm_head"]
    return ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.k_proj",
            "model.layers.1.mlp.down_proj", "lm_head"]  # fmt: skip


def sizes(module: Any) -> tuple[int, int]:
    """Return inputs and outputs of a layer."""
    if hasattr(module, "in_features"):
        return module.in_features, module.out_features
    return module.weight.shape[0], module.weight.shape[1]  # Conv1D


def factors(model: Any, modules: list[str], rank: int = R) -> dict[str, tuple[Any, Any]]:
    torch.manual_seed(2)
    found = {}
    for name in modules:
        inputs, outputs = sizes(model.get_submodule(name))
        found[name] = torch.randn(rank, inputs) / 5, torch.randn(outputs, rank) / 5
    return found


def write(base: Path, low: dict[str, tuple[Any, Any]], whole: Tensors | None = None,
          **settings: Any) -> Path:  # fmt: skip
    """Write an adapter as peft does."""
    from safetensors.torch import save_file

    folder = base.parent / "adapter"
    folder.mkdir(exist_ok=True)
    tensors = {f"base_model.model.{name}": tensor for name, tensor in (whole or {}).items()}
    for name, (first, second) in low.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = first
        tensors[f"base_model.model.{name}.lora_B.weight"] = second
    save_file(tensors, folder / "adapter_model.safetensors")
    is_gpt2 = json.loads((base / "config.json").read_text())["model_type"] == "gpt2"
    body = {
        "peft_type": "LORA", "base_model_name_or_path": str(base), "r": R, "lora_alpha": ALPHA,
        "fan_in_fan_out": is_gpt2, "bias": "none", "init_lora_weights": True, "use_dora": False,
        "task_type": "CAUSAL_LM",
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps({**body, **settings}))
    return folder


def merged(adapter: Path) -> Path:
    model = resolve_model(str(adapter), adapter.parent / "cache")
    folder = hf_folder(model, adapter.parent / "cache")
    assert prepared_hf_folder(model, adapter.parent / "cache") == folder
    return folder


def unmerged_logits(
    base: Path, low: dict[str, tuple[Any, Any]], scaling: Callable[[str], float]
) -> Any:
    """Return what the base gives while hooks add the adapter's products, as in training."""
    model = load(base)
    for name, (first, second) in low.items():

        def add(_: Any, inputs: Any, output: Any, *, s: float = scaling(name), a: Any = first,
                b: Any = second) -> Any:  # fmt: skip
            return output + s * (inputs[0] @ a.T @ b.T)

        model.get_submodule(name).register_forward_hook(add)
    with torch.inference_mode():
        return model(torch.tensor(IDS)).logits


def logits(folder: Path) -> Any:
    with torch.inference_mode():
        return load(folder)(torch.tensor(IDS)).logits


def close(one: Any, two: Any) -> bool:
    return bool(torch.allclose(one, two, atol=2e-5))


def test_a_merged_model_computes_what_base_and_adapter_do_together(base: Path) -> None:
    low = factors(load(base), targets(base))
    folder = merged(write(base, low))
    wanted = unmerged_logits(base, low, lambda _: ALPHA / R)
    assert close(logits(folder), wanted)
    assert not close(logits(base), wanted)


def test_the_hand_computed_sum_stands_in_the_files(base: Path) -> None:
    name = targets(base)[1]
    low = factors(load(base), [name])
    change = ALPHA / R * (low[name][1] @ low[name][0])
    before = load(base).get_submodule(name).weight
    after = load(merged(write(base, low))).get_submodule(name).weight
    turned = change.T if "gpt2" in type(load(base)).__name__.lower() else change
    assert torch.equal(after, before + turned)


def test_an_older_adapter_in_a_file_of_torch_is_the_same_model(plain: Path) -> None:
    from safetensors.torch import load_file

    adapter = write(plain, factors(load(plain), ["model.layers.0.self_attn.q_proj"]))
    first = load(merged(adapter)).state_dict()
    new = adapter / "adapter_model.safetensors"
    torch.save(load_file(new), adapter / "adapter_model.bin")
    new.unlink()
    second = load(merged(adapter)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ranks_and_alphas_by_pattern_and_rank_stabilised_scaling(base: Path) -> None:
    first, *others = targets(base)
    low = {**factors(load(base), [first], rank=2), **factors(load(base), others)}
    last = first.rpartition(".")[2]
    adapter = write(base, low, use_rslora=True, rank_pattern={f"0.*{last}": 2},
                    alpha_pattern={last: 9})  # fmt: skip

    def scaling(name: str) -> float:
        return 9 / math.sqrt(2) if name == first else ALPHA / math.sqrt(R)

    assert close(logits(merged(adapter)), unmerged_logits(base, low, scaling))


def test_modules_trained_whole_replace_those_of_the_base(base: Path) -> None:
    model = load(base)
    head = torch.randn(48, 32) / 5
    adapter = write(base, {}, {"lm_head.weight": head}, modules_to_save=["lm_head"])
    after = load(merged(adapter))
    assert torch.equal(after.get_output_embeddings().weight, head)
    assert torch.equal(after.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_an_embedding_that_changes_leaves_a_head_that_was_the_same_tensor(base: Path) -> None:
    model = load(base)
    name = next(n for n, m in model.named_modules() if m is model.get_input_embeddings())
    first, second = torch.randn(R, 48) / 5, torch.randn(32, R) / 5
    whole = {f"{name}.lora_embedding_A": first, f"{name}.lora_embedding_B": second}
    folder = merged(write(base, {}, whole))
    after = load(folder)
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False
    change = ALPHA / R * (second @ first).T
    table = model.get_input_embeddings().weight
    assert torch.allclose(after.get_input_embeddings().weight, table + change)
    assert torch.equal(after.get_output_embeddings().weight, model.get_output_embeddings().weight)


def test_a_grown_vocabulary_is_that_of_the_adapter(base: Path) -> None:
    model = load(base)
    name = next(n for n, m in model.named_modules() if m is model.get_input_embeddings())
    table = torch.randn(50, 32)
    adapter = write(base, {}, {f"{name}.weight": table, "lm_head.weight": table.clone()})
    after = load(merged(adapter))
    assert after.config.vocab_size == 50
    assert torch.equal(after.get_output_embeddings().weight, table)
    lonely = write(base, {}, {f"{name}.weight": table})
    with pytest.raises(
        UnsupportedError, match=r"has 50 rows of .* and no 'lm_head.weight' of that"
    ):
        merged(lonely)


def test_low_precision_of_the_base_is_kept_and_rounded_once(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in base.glob("*.safetensors"):
        tensors = {n: t.to(torch.bfloat16) for n, t in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    name = targets(base)[0]
    low = factors(load(base), [name])
    found = load(merged(write(base, low, fan_in_fan_out=False))).get_submodule(name).weight
    before = load(base).get_submodule(name).weight
    change = ALPHA / R * (low[name][1] @ low[name][0])
    summed = before + (change if change.shape == before.shape else change.T)
    assert torch.equal(found, summed.to(torch.bfloat16).float())


def test_identity_is_of_base_and_adapter_and_not_of_where_they_lie(base: Path) -> None:
    low = factors(load(base), targets(base)[:1])
    cache = base.parent / "cache"
    adapter = write(base, low)
    first = resolve_model(str(adapter), cache)
    assert first.base is not None
    assert resident_b(first, "fp32") == resident_b(first.base, "fp32")
    moved = base.rename(base.parent / "moved")
    write(moved, low)
    assert resolve_model(str(adapter), cache).sha256 == first.sha256
    write(moved, low, lora_alpha=7)
    assert resolve_model(str(adapter), cache).sha256 != first.sha256
    write(moved, low)
    (moved / "chat_template.jinja").write_text("of the base")
    assert resolve_model(str(adapter), cache).sha256 != first.sha256
    (moved / "chat_template.jinja").unlink()
    (adapter / "chat_template.jinja").write_text("of the adapter")
    assert resolve_model(str(adapter), cache).sha256 != first.sha256
    assert (merged(adapter) / "chat_template.jinja").read_text() == "of the adapter"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """The smallest model of the family."""
    return Path(shutil.copytree(data_file("family", "effmark-1m"), tmp_path / "base"))


def test_a_base_may_be_a_name_or_lie_beside_its_adapter(plain: Path) -> None:
    low = factors(load(plain), ["model.layers.0.self_attn.q_proj"])
    cache = plain.parent / "cache"
    found = [
        resolve_model(str(write(plain, low, base_model_name_or_path=name)), cache)
        for name in (str(plain), "../base", "effmark-1m")
    ]
    assert len({model.sha256 for model in found}) == 1
    assert found[2].base is not None
    assert found[2].base.name == "effmark-1m"


def test_a_base_in_the_cache_of_the_hub_is_at_hand(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = plain.parent / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    snapshot = hub / "models--org--tiny" / "snapshots" / ("a" * 40)
    shutil.copytree(plain, snapshot)
    refs = hub / "models--org--tiny" / "refs"
    refs.mkdir()
    (refs / "main").write_text("a" * 40)
    low = factors(load(plain), ["model.layers.0.self_attn.q_proj"])
    adapter = write(plain, low, base_model_name_or_path="org/tiny")
    model = resolve_model(str(adapter), plain.parent / "cache")
    assert model.base is not None
    assert (model.base.name, model.base.path) == ("org/tiny", snapshot)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"base_model_name_or_path": "org/large"}, PrerequisiteError,
         "is a LoRA adapter of 'org/large', which is not at hand; write the folder of that model"),
        ({"base_model_name_or_path": None}, PrerequisiteError, "adapter of 'None', which is not"),
        ({"base_model_name_or_path": "/gone/base"}, PrerequisiteError, "adapter of '/gone/base'"),
        ({"use_dora": True}, UnsupportedError, "is a LoRA adapter with use_dora, which is not add"),
        ({"peft_type": "IA3"}, UnsupportedError, "is an adapter of type 'IA3'; only LoRA is added"),
        ({"peft_type": "PREFIX_TUNING"}, UnsupportedError, "adapter of type 'PREFIX_TUNING'"),
        ({"init_lora_weights": "pissa"}, UnsupportedError, "with init_lora_weights 'pissa'"),
        ({"layer_replication": [[0, 2]]}, UnsupportedError, "with layer_replication"),
        ({"r": 8}, UnsupportedError, "has rank 4 at 'model.layers.0.self_attn.q_proj', .* say 8"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_is_refused_by_name(
    plain: Path, settings: dict[str, Any], kind: type[EffmarkError], said: str
) -> None:
    low = factors(load(plain), ["model.layers.0.self_attn.q_proj"])
    with pytest.raises(kind, match=said) as caught:
        merged(write(plain, low, **settings))
    assert "\n" not in str(caught.value)
    assert not list((plain.parent / "cache" / "hf").glob("*/config.json"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "model.layers.9.self_attn.q_proj.lora_A.weight",
            "has no two matrices for 'model.layers.9",
        ),
        (
            "model.layers.0.self_attn.q_proj.lora_magnitude_vector",
            "lora_magnitude_vector', which is",
        ),
        (
            "score.weight",
            "changes 'score.weight', which is no tensor of its base; is that the base?",
        ),
    ],
)
def test_tensors_that_are_not_understood_are_refused_by_name(
    plain: Path, name: str, said: str
) -> None:
    with pytest.raises(UnsupportedError, match=said):
        merged(write(plain, {}, {name: torch.ones(4, 4)}))


def test_an_adapter_of_another_base_is_refused(plain: Path) -> None:
    low = {"model.layers.0.self_attn.q_proj": (torch.ones(R, 7), torch.ones(5, R))}
    with pytest.raises(UnsupportedError, match=r"changes .* by \[.*\], its base holds \["):
        merged(write(plain, low))


def test_a_folder_that_is_two_models_is_none(plain: Path) -> None:
    adapter = write(plain, factors(load(plain), ["model.layers.0.self_attn.q_proj"]))
    for file in plain.iterdir():
        shutil.copy(file, adapter)
    with pytest.raises(SpecError, match="holds an adapter and the weights of a model; give a"):
        resolve_model(str(adapter), plain.parent)


def test_a_truncated_adapter_is_named_before_its_base_is_read(plain: Path) -> None:
    adapter = write(plain, factors(load(plain), ["model.layers.0.self_attn.q_proj"]))
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(PrerequisiteError, match=r"adapter_model.safetensors' is truncated"):
        resolve_model(str(adapter), plain.parent)


def test_a_cell_of_an_adapter_is_known_by_content(plain: Path) -> None:
    adapter = write(plain, factors(load(plain), ["model.layers.0.self_attn.q_proj"]))
    model = resolve_model(str(adapter), plain.parent / "cache")
    copied = shutil.copytree(plain, plain.parent / "copy")
    write(copied, factors(load(plain), ["model.layers.0.self_attn.q_proj"]))
    again = resolve_model(str(adapter), plain.parent / "cache")

    def key(of: ModelRef) -> str:
        work = Decode(prompt_tokens=1, new_tokens=1)
        return Cell(model=of, adapter="torch", precision="fp32", device="cpu", threads=1,
                    workload=work, suite_sha256="0" * 64).key  # fmt: skip

    assert model.base != again.base
    assert key(model) == key(again)
