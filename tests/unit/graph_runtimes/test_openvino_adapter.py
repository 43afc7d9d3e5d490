"""OpenVINO: the stateful graph computes what torch computes, in few bits too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openvino")
pytest.importorskip("nncf", exc_type=ImportError)

from effmark.adapter import Adapter, Generates, Sampling, Scores
from effmark.errors import AdapterError, PrerequisiteError, SpecError, UnsupportedError
from effmark_adapters.openvino import OpenVinoAdapter

PRECISIONS = ("fp32", "bf16", "int8", "int4")

IMPORTS = """
import sys
from effmark.adapter import LoadRequest
from effmark_adapters.openvino import OpenVinoAdapter
adapter = OpenVinoAdapter()
adapter.load(LoadRequest.model_validate_json(sys.argv[1]))
adapter.log_probs([([1, 2], [3])])
print(sorted({"torch", "transformers", "onnx", "nncf"} & set(sys.modules)))
"""


def open_model(family: Any, precision: str, **changes: Any) -> OpenVinoAdapter:
    asked = family.request(precision, **changes)
    assert family.prepare(OpenVinoAdapter, asked) == ""  # nothing of NNCF's table on stdout
    adapter = OpenVinoAdapter()
    adapter.load(asked)
    return adapter


def divergence(expected: Any, found: Any) -> float:
    return float((np.exp(expected) * (expected - found)).sum(-1).mean())


@pytest.fixture(scope="module", params=PRECISIONS)
def loaded(request: pytest.FixtureRequest, family: Any) -> Iterator[OpenVinoAdapter]:
    try:
        adapter = open_model(family, request.param)
    except AssertionError as error:
        if "no bf16 arithmetic" in str(error):
            pytest.skip("this CPU has no bf16 arithmetic")
        raise
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def fp32(family: Any) -> Iterator[OpenVinoAdapter]:
    adapter = open_model(family, "fp32")
    yield adapter
    adapter.close()


def test_it_has_every_capability_of_a_language_model(fp32: OpenVinoAdapter) -> None:
    for promised in (Adapter, Generates, Scores):
        assert isinstance(fp32, promised)


def test_fp32_gives_the_log_probabilities_of_torch(fp32: Any, reference: Any) -> None:
    ids = reference.ids
    (found,) = fp32.log_probs([(ids[:1], ids[1:])])
    assert found.dtype == np.float32
    assert np.abs(found - reference.log_probs[:-1]).max() < 1e-4


def test_fp32_continues_like_torch(fp32: Any, reference: Any, continue_with: Any) -> None:
    steps = continue_with(fp32, [reference.ids[:16]], 24)
    assert [step[0] for step in steps] == reference.greedy


def test_few_bits_stay_close_to_torch(loaded: Any, reference: Any) -> None:
    ids = reference.ids
    (found,) = loaded.log_probs([(ids[:1], ids[1:])])
    bound = {32: 1e-6, 16: 1e-3, 8: 1e-3, 4: 0.1}[loaded.facts().quantisation["bits"]]
    assert divergence(reference.log_probs[:-1], found) < bound


def test_facts_are_counted_in_the_graph(loaded: Any) -> None:
    facts = loaded.facts()
    bits = facts.quantisation["bits"]
    assert facts.parameters == 1_049_728
    assert facts.effective_bits == 8 * facts.weights_b / facts.parameters
    assert facts.kv_bytes_per_token == 4 * 2 * 2 * 32 * (2 if bits == 16 else 4)
    if bits >= 16:
        assert facts.effective_bits == bits  # the tied head is not stored twice
    else:
        assert facts.weights_b <= facts.file_b < facts.weights_b + 500_000
        assert facts.quantisation["head_bits"] == facts.quantisation["embedding_bits"] == 8
        assert bits < facts.effective_bits < bits + 1.7


def test_the_kernels_are_those_of_the_precision(loaded: Any) -> None:
    facts = loaded.facts()
    matrices = {32: "f32", 16: "bf16", 8: "u8", 4: "u4"}[facts.quantisation["bits"]]
    heads = facts.runtime.get("nodes_FullyConnected_u8", 0) if matrices == "u4" else 0
    assert facts.runtime[f"nodes_FullyConnected_{matrices}"] + heads == 4 * 7 + 1
    arithmetic = "bf16" if matrices == "bf16" else "f32"
    assert facts.runtime[f"nodes_ScaledDotProductAttention_{arithmetic}"] == 4
    assert facts.runtime["inference_precision_hint"] == arithmetic
    assert facts.runtime["kv_cache_precision"] == arithmetic


def test_a_batch_gives_what_single_prompts_give(
    fp32: Any, reference: Any, continue_with: Any
) -> None:
    prompts = [reference.ids[:16], reference.ids[20:25], reference.ids[30:31]]
    together = continue_with(fp32, prompts, 12)
    for row, prompt in enumerate(prompts):
        alone = continue_with(fp32, [prompt], 12)
        assert [step[row] for step in together] == [step[0] for step in alone]


def test_sampling_repeats_with_its_seed(fp32: Any, reference: Any, continue_with: Any) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.9, seed=3)
    first, second = (
        continue_with(fp32, [reference.ids[:16]], 12, sampling=sampling) for _ in range(2)
    )
    assert first == second


def test_a_shared_context_changes_nothing(fp32: Any, reference: Any) -> None:
    ids = reference.ids
    pairs = [(ids[:9], ids[9:14]), (ids[2:3], ids[3:5]), (ids[:9], ids[20:21]), (ids[:9], ids[:3])]
    together = fp32.log_probs(pairs)
    for pair, rows in zip(pairs, together, strict=True):
        (alone,) = fp32.log_probs([pair])
        assert np.abs(rows - alone).max() < 1e-4


def test_what_does_not_fit_is_refused(fp32: Any, continue_with: Any) -> None:
    with pytest.raises(SpecError, match="90 and 7 new tokens"):
        continue_with(fp32, [[1] * 90], 7)


def test_loading_imports_no_converter(family: Any, fp32: Any) -> None:
    asked = family.request("fp32").model_dump_json()
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, asked], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_options_change_the_weights_and_the_arithmetic(family: Any, reference: Any) -> None:
    ids = reference.ids
    options = {"group_size": 128, "symmetric": True, "dynamic_quantization": False}
    adapter = open_model(family, "int4", options=options)
    facts = adapter.facts()
    (found,) = adapter.log_probs([(ids[:1], ids[1:])])
    assert facts.quantisation["group_size"] == 128
    assert facts.quantisation["symmetric"] is True
    assert facts.quantisation["activations"] == "f32"
    assert facts.effective_bits < 5.3
    assert divergence(reference.log_probs[:-1], found) < 0.3
    adapter.close()


def test_loading_before_preparing_says_so(family: Any, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="call prepare first"):
        OpenVinoAdapter().load(family.request("int4", cache=tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "int2"}, "no precision 'int2'; it has fp32, bf16, int8, int4"),
        ({"options": {"speed": 11}}, "openvino int4: unknown option 'speed'"),
        (
            {"precision": "fp32", "options": {"group_size": 32}},
            "openvino fp32: unknown option 'group_size'",
        ),
        ({"options": {"group_size": "32"}}, "'group_size' is '32', not of type int"),
        ({"device": "tpu"}, "no device 'tpu'; this machine has .*cpu"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    family: Any, changes: dict[str, Any], words: str
) -> None:
    asked = family.request(**{"precision": "int4", **changes})
    with pytest.raises(UnsupportedError, match=words):
        OpenVinoAdapter.prepare(asked)
    with pytest.raises(UnsupportedError, match=words):
        OpenVinoAdapter().load(asked)


def test_a_group_that_does_not_divide_the_rows_is_refused(family: Any) -> None:
    asked = family.request("int4", options={"group_size": 256})
    with pytest.raises(AssertionError, match="group_size 256 does not divide"):
        family.prepare(OpenVinoAdapter, asked)


def test_nothing_is_loaded_before_load_and_after_close(family: Any, fp32: Any) -> None:
    adapter = OpenVinoAdapter()
    with pytest.raises(AdapterError, match="call load first"):
        adapter.facts()
    adapter.load(family.request("fp32"))
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="call load first"):
        adapter.encode("a")
