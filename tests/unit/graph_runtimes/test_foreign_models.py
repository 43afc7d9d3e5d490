"""Models of other families on the runtimes of graphs: as the model itself computes, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effmark.errors import UnsupportedError
from effmark_adapters.graphs.ort_session import prove
from effmark_adapters.onnxruntime import OnnxRuntimeAdapter
from effmark_adapters.openvino import OpenVinoAdapter

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

BOTH = [(a, {"precision": "fp32"}) for a in (OnnxRuntimeAdapter, OpenVinoAdapter)]
WINDOW = 8
RIGHT: dict[str, tuple[str, dict[str, Any]]] = {
    "all-windows": ("mistral", {"sliding_window": WINDOW}),
    "windows-and-caps": ("gemma2", {"sliding_window": WINDOW, "head_dim": 16}),
    "windows-and-sinks": (
        "gpt_oss",
        {"sliding_window": WINDOW, "head_dim": 16, "num_local_experts": 4},
    ),
    "scaled-logits": ("cohere", {"logit_scale": 0.25}),
    "attention-of-its-own": ("bloom", {"n_layer": 2, "n_head": 4}),
    "keys-larger-than-values": (
        "deepseek_v3",
        {
            "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16,
            "v_head_dim": 12, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
            "topk_group": 1, "moe_intermediate_size": 32, "first_k_dense_replace": 1,
            "num_key_value_heads": 4,
        },
    ),
}  # fmt: skip
ROUTINE, THOROUGH = list(RIGHT)[:1], list(RIGHT)[1:]
PROMPTS = [np.random.default_rng(i).integers(3, 130, n).tolist() for i, n in enumerate((21, 9, 2))]
NEXT = [np.random.default_rng(9 + i).integers(3, 130, 6).tolist() for i in range(len(PROMPTS))]


@pytest.fixture(scope="module")
def windows(tiny_models: Any) -> Any:
    """A model that looks at windows only, and one that keeps another state; made together."""
    planned = tiny_models()
    model = planned.add("all-windows", *RIGHT["all-windows"], *BOTH)
    hybrid = planned.add("hybrid", "lfm2", {"layer_types": ["conv", "full_attention"]}, *BOTH)
    recurrent = planned.add("recurrent", "mamba", {"state_size": 4}, BOTH[0], BOTH[0])
    return model, (hybrid, recurrent), planned.prepare()


def expected(model: Any) -> list[Any]:
    """Return log-probabilities that transformers computes without cache and padding."""
    import torch
    from transformers import AutoModelForCausalLM

    source = AutoModelForCausalLM.from_pretrained(
        model.model.path, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    found = []
    with torch.inference_mode():
        for prompt, following in zip(PROMPTS, NEXT, strict=True):
            ids = torch.tensor([[*prompt, *following[:-1]]])
            logits = source(ids, use_cache=False).logits[0, len(prompt) - 1 :]
            found.append(logits.log_softmax(-1).numpy())
    return found


def check_right(model: Any, changes: dict[str, Any] | None = None) -> None:
    for kind, request in BOTH:
        adapter = kind()
        adapter.load(model.request(**request, **(changes or {})))
        found = adapter.replay(PROMPTS, NEXT)
        for row, (got, wanted) in enumerate(zip(found, expected(model), strict=True)):
            assert np.abs(got - wanted).max() < 1e-4, (model.model.name, adapter.name, row)
        adapter.close()


def test_a_padded_batch_beyond_the_window_is_decoded_as_the_model_computes(windows: Any) -> None:
    check_right(windows[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", THOROUGH)
def test_other_families_are_decoded_as_they_compute(tiny_models: Any, name: str) -> None:
    planned = tiny_models()
    model = planned.add(name, *RIGHT[name], *BOTH)
    assert planned.prepare() == {}
    check_right(model)


@pytest.mark.slow
def test_a_rope_that_grows_is_right_for_short_texts_and_refused_for_long_ones(
    tiny_models: Any,
) -> None:
    planned = tiny_models()
    rope: dict[str, Any] = {
        "rope_type": "longrope",
        "short_factor": [1.5] * 8,
        "long_factor": [4.0] * 8,
    }
    rope |= {"rope_theta": 10000.0, "original_max_position_embeddings": 64}
    settings = {"rope_parameters": rope, "original_max_position_embeddings": 64}
    short = [(a, {"precision": "fp32", "context_tokens": 64}) for a, _ in BOTH]
    model = planned.add("growing-rope", "phi3", settings, *short, *BOTH)
    refusals = planned.prepare()["growing-rope"]
    assert len(refusals) == 2
    assert all("changes beyond 64 tokens" in text for text in refusals)
    check_right(model, {"context_tokens": 64})


def test_a_state_that_is_not_keys_and_values_is_refused_by_name(windows: Any) -> None:
    refusals = windows[2]
    assert "1 of 2 layers keep a LinearAttentionLayer" in refusals["hybrid"][0]
    assert "recurrent, and its state is not carried" in refusals["recurrent"][0]
    for first, second in (refusals["hybrid"], refusals["recurrent"]):
        assert first == second
        assert "\n" not in first
        assert len(first) < 250


def test_a_refused_export_is_not_tried_again(windows: Any, tmp_path: Path) -> None:
    hybrid = windows[1][0]
    (kept,) = [
        path
        for path in (hybrid.cache / "onnx").glob("*.refused")
        if "LinearAttention" in path.read_text()
    ]
    kept.write_text("refused before")
    with pytest.raises(UnsupportedError, match="refused before"):
        OpenVinoAdapter.prepare(hybrid.request("int4"))


def test_a_graph_that_computes_something_else_is_refused(windows: Any, tmp_path: Path) -> None:
    (entry,) = [p for p in (windows[0].cache / "onnx").iterdir() if (p / "proof.npz").is_file()]
    with np.load(entry / "proof.npz") as found:
        proof = dict(found)
    for path in entry.glob("model.onnx*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    proof["log_probs"][1, 2] += 1  # the second prompt, after two cached steps
    np.savez(tmp_path / "proof.npz", **proof)
    with pytest.raises(UnsupportedError, match=r"after cached step 2 of \d+ tokens, alone, differ"):
        prove(windows[0].model, tmp_path)
    (tmp_path / "model.onnx.data").write_bytes(b"")
    with pytest.raises(UnsupportedError, match="does not run: "):
        prove(windows[0].model, tmp_path)


def test_the_bytes_of_the_cache_are_those_of_the_graph(windows: Any) -> None:
    for kind, request in BOTH:
        adapter: Any = kind()
        held: list[int] = []
        adapter.load(windows[0].request(**request))

        def on_step(_: Any, adapter: Any = adapter, held: list[int] = held) -> bool:
            held.append(adapter.kv_cache_b())
            return False

        from effmark.adapter import Generation

        adapter.generate(Generation(prompts=(tuple(PROMPTS[0]),), new_tokens=3), on_step)
        assert held[-1] == adapter.facts().kv_bytes_per_token * (len(PROMPTS[0]) + 2)


def test_ids_beyond_the_embedding_are_refused(windows: Any) -> None:
    for kind, request in BOTH:
        adapter = kind()
        adapter.load(windows[0].request(**request))
        with pytest.raises(UnsupportedError, match="token 200 is beyond the 200 rows"):
            adapter.log_probs([([1, 2], [200])])
        with pytest.raises(UnsupportedError, match="token 999 is beyond the 200 rows"):
            adapter.replay([[1, 999]], [[1]])


def test_a_graph_is_not_used_beyond_what_its_rope_is_right_for(windows: Any) -> None:
    (entry,) = [p for p in (windows[0].cache / "onnx").iterdir() if (p / "proof.npz").is_file()]
    meta = json.loads((entry / "meta.json").read_text())
    assert meta["longest_tokens"] is None
    (entry / "meta.json").write_text(json.dumps({**meta, "longest_tokens": 95}))
    try:
        with pytest.raises(UnsupportedError, match="changes beyond 95 tokens"):
            OnnxRuntimeAdapter().load(windows[0].request("fp32"))
    finally:
        (entry / "meta.json").write_text(json.dumps(meta))
