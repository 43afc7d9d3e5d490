"""ONNX Runtime: the graph computes what torch computes, in few bits too, and refuses by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effmark.adapter import Adapter, Generates, Generation, Infers, LoadRequest, Sampling, Scores
from effmark.errors import AdapterError, PrerequisiteError, SpecError, UnsupportedError
from effmark.spec import ModelRef
from effmark_adapters.artefacts.digits import digits_data
from effmark_adapters.artefacts.digits_onnx import digits_onnx
from effmark_adapters.artefacts.onnx_file import read_meta
from effmark_adapters.onnxruntime import OnnxRuntimeAdapter

pytest.importorskip("onnxruntime")

IMPORTS = """
import sys
from effmark.adapter import LoadRequest
from effmark_adapters.onnxruntime import OnnxRuntimeAdapter
adapter = OnnxRuntimeAdapter()
adapter.load(LoadRequest.model_validate_json(sys.argv[1]))
adapter.log_probs([([1, 2], [3])])
print(sorted({"torch", "transformers", "onnx", "onnxscript"} & set(sys.modules)))
"""


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def loaded(request: pytest.FixtureRequest, family: Any) -> Iterator[OnnxRuntimeAdapter]:
    asked = family.request(request.param)
    family.prepare(OnnxRuntimeAdapter, asked)
    adapter = OnnxRuntimeAdapter()
    adapter.load(asked)
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def fp32(family: Any) -> Iterator[OnnxRuntimeAdapter]:
    asked = family.request("fp32")
    family.prepare(OnnxRuntimeAdapter, asked)
    adapter = OnnxRuntimeAdapter()
    adapter.load(asked)
    yield adapter
    adapter.close()


def digits_request(cache: Path, precision: str = "fp32", **changes: Any) -> LoadRequest:
    model = ModelRef(name="digits", task="classifier", kind="digits", sha256="0" * 64)
    return LoadRequest(model=model, precision=precision, cache=cache, **changes)


def test_it_has_every_capability(fp32: OnnxRuntimeAdapter) -> None:
    for promised in (Adapter, Generates, Scores, Infers):
        assert isinstance(fp32, promised)


def test_fp32_gives_the_log_probabilities_of_torch(fp32: Any, reference: Any) -> None:
    ids = reference.ids
    (found,) = fp32.log_probs([(ids[:1], ids[1:])])
    assert found.dtype == np.float32
    assert np.abs(found - reference.log_probs[:-1]).max() < 1e-4


def test_fp32_continues_like_torch(fp32: Any, reference: Any, continue_with: Any) -> None:
    steps = continue_with(fp32, [reference.ids[:16]], 24)
    assert [step[0] for step in steps] == reference.greedy


def test_decoding_can_be_replayed_with_given_tokens(fp32: Any, reference: Any) -> None:
    ids = reference.ids
    found = fp32.replay([ids[:16], ids[:5]], [ids[16:24], ids[5:13]])
    for rows, start in zip(found, (15, 4), strict=True):
        assert rows.dtype == np.float32
        assert np.abs(rows - reference.log_probs[start : start + 8]).max() < 1e-4


def test_few_bits_stay_close_to_torch(loaded: Any, reference: Any) -> None:
    ids = reference.ids
    (found,) = loaded.log_probs([(ids[:1], ids[1:])])
    expected = reference.log_probs[:-1]
    divergence = (np.exp(expected) * (expected - found)).sum(-1).mean()
    assert divergence < {32: 1e-6, 8: 1e-3, 4: 0.1}[loaded.facts().quantisation["bits"]]


def test_facts_are_counted_in_the_graph(loaded: Any, reference: Any) -> None:
    facts = loaded.facts()
    bits = facts.quantisation["bits"]
    assert facts.parameters == 1_049_728
    assert facts.effective_bits == 8 * facts.weights_b / facts.parameters
    assert facts.weights_b <= facts.file_b < 1.1 * facts.weights_b
    assert facts.kv_bytes_per_token == 4 * 2 * 2 * 32 * 4  # layers, K and V, heads, size, bytes
    assert facts.context_tokens == 512
    assert facts.runtime["provider"] == "CPUExecutionProvider"
    if bits == 32:
        assert facts.effective_bits == 32  # the tied head is not stored twice
    else:
        assert facts.runtime["nodes_MatMulNBits"] == 4 * 7 + 1
        assert facts.quantisation["head_bits"] == facts.quantisation["embedding_bits"] == 8
        assert bits < facts.effective_bits < bits + 2.1
        assert facts.quantisation["activations"] == "int8"


def test_a_batch_gives_what_single_prompts_give(
    fp32: Any, reference: Any, continue_with: Any
) -> None:
    prompts = [reference.ids[:16], reference.ids[20:25], reference.ids[30:31]]
    together = continue_with(fp32, prompts, 12)
    for row, prompt in enumerate(prompts):
        alone = continue_with(fp32, [prompt], 12)
        assert [step[row] for step in together] == [step[0] for step in alone]


def test_a_sequence_ends_at_a_stop_token(fp32: Any, reference: Any, continue_with: Any) -> None:
    prompts = [reference.ids[:16], reference.ids[20:25]]
    free = continue_with(fp32, prompts, 12)
    stop = next(a for a, b in free if a != b)
    stopped = continue_with(fp32, prompts, 12, stop_ids=(stop,))
    first = [step[0] for step in stopped]
    end = first.index(stop)
    assert all(token is None for token in first[end + 1 :])
    assert [step[0] for step in free][: end + 1] == first[: end + 1]


def test_the_harness_can_end_a_generation(fp32: Any, reference: Any) -> None:
    steps: list[Any] = []

    def on_step(step: Any) -> bool:
        steps.append(step)
        return len(steps) == 3

    fp32.generate(Generation(prompts=(tuple(reference.ids[:16]),), new_tokens=12), on_step)
    assert len(steps) == 3
    assert all(type(token) is int for step in steps for token in step)


def test_sampling_repeats_with_its_seed_whatever_the_batch(
    fp32: Any, reference: Any, continue_with: Any
) -> None:
    prompt = reference.ids[:16]
    sampling = Sampling(temperature=1.0, top_k=50, top_p=0.9, seed=7)
    alone = continue_with(fp32, [prompt], 12, sampling=sampling)
    again = continue_with(fp32, [prompt, prompt], 12, sampling=sampling)
    assert [step[0] for step in alone] == [step[0] for step in again]
    assert [step[1] for step in again] != [step[0] for step in again]


def test_a_narrow_nucleus_is_greedy(fp32: Any, reference: Any, continue_with: Any) -> None:
    for sampling in (Sampling(temperature=2.0, top_k=1), Sampling(temperature=1.0, top_p=1e-9)):
        steps = continue_with(fp32, [reference.ids[:16]], 12, sampling=sampling)
        assert [step[0] for step in steps] == reference.greedy[:12]


def test_a_shared_context_changes_nothing(fp32: Any, reference: Any) -> None:
    ids = reference.ids
    pairs = [
        (ids[:9], ids[9:14]),
        (ids[2:3], ids[3:5]),
        (ids[:9], ids[20:21]),
        (ids[:9], []),
        (ids[:9], ids[30:33]),
    ]
    together = fp32.log_probs(pairs)
    assert [rows.shape for rows in together] == [(len(c), 2048) for _, c in pairs]
    for pair, rows in zip(pairs, together, strict=True):
        (alone,) = fp32.log_probs([pair])
        assert np.abs(rows - alone).max(initial=0) < 1e-4


def test_text_is_the_text_of_its_tokens(fp32: Any) -> None:
    text = "It is a truth universally acknowledged"
    assert fp32.decode(fp32.encode(text)) == text


def test_what_does_not_fit_is_refused(fp32: Any, continue_with: Any) -> None:
    with pytest.raises(SpecError, match="90 and 7 new tokens"):
        continue_with(fp32, [[1] * 90], 7)
    with pytest.raises(SpecError, match="at least 1 token"):
        continue_with(fp32, [[]], 7)
    with pytest.raises(SpecError, match="5 prompts together"):
        continue_with(fp32, [[1]] * 5, 7)
    with pytest.raises(SpecError, match="context holds at least 1"):
        fp32.log_probs([([], [1])])


def test_loading_imports_no_exporter(family: Any, fp32: Any) -> None:
    from subprocess import run
    from sys import executable

    asked = family.request("fp32").model_dump_json()
    done = run([executable, "-c", IMPORTS, asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_loading_before_preparing_says_so(family: Any, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="call prepare first"):
        OnnxRuntimeAdapter().load(family.request("int4", cache=tmp_path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "int2"}, "no precision 'int2'; it has fp32, int8, int4"),
        ({"options": {"speed": 11}}, "unknown option 'speed'"),
        ({"options": {"block_size": "32"}}, "'block_size' is '32', not of type int"),
        ({"options": {"block_size": 24}}, "block_size 24 is not a power of 2"),
        ({"options": {"accuracy_level": 2}}, "accuracy_level 2"),
        ({"precision": "fp32", "options": {"block_size": 32}}, "'block_size' is for int8 and int4"),
        ({"options": {"provider": "WarpDrive"}}, "which has .*CPUExecutionProvider"),
        ({"device": "tpu:0"}, "no provider for device 'tpu:0'"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    family: Any, changes: dict[str, Any], words: str
) -> None:
    asked = family.request(**{"precision": "int4", **changes})
    with pytest.raises(UnsupportedError, match=words):
        OnnxRuntimeAdapter.prepare(asked)
    with pytest.raises(UnsupportedError, match=words):
        OnnxRuntimeAdapter().load(asked)


def test_nothing_is_loaded_before_load_and_after_close(family: Any, fp32: Any) -> None:
    adapter = OnnxRuntimeAdapter()
    with pytest.raises(AdapterError, match="call load first"):
        adapter.facts()
    adapter.load(family.request("fp32"))
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="call load first"):
        adapter.encode("a")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_digits_are_recognised(cache: Path, precision: str) -> None:
    asked = digits_request(cache, precision)
    OnnxRuntimeAdapter.prepare(asked)
    adapter = OnnxRuntimeAdapter()
    adapter.load(asked)
    images, labels = digits_data("test")
    scores = adapter.infer(images)
    facts = adapter.facts()
    assert scores.shape == (len(labels), 10)
    assert scores.dtype == np.float32
    assert (scores.argmax(-1) == labels).mean() >= 0.95
    assert facts.parameters == 38_282
    assert facts.effective_bits == pytest.approx({"fp32": 32, "int8": 8}[precision], rel=0.03)
    with pytest.raises(UnsupportedError, match="reads no text"):
        adapter.encode("a")
    adapter.close()


def test_digits_have_no_int4(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="no int4 convolutions"):
        OnnxRuntimeAdapter.prepare(digits_request(tmp_path, "int4"))


def test_a_language_model_classifies_no_images(fp32: Any) -> None:
    with pytest.raises(UnsupportedError, match="does not classify"):
        fp32.infer(np.zeros((1, 1, 8, 8), np.float32))


def test_int8_digits_run_integer_kernels(cache: Path) -> None:
    entry = digits_onnx(cache, "int8")
    assert read_meta(entry)["weight_nodes"] == {"QLinearConv": 2, "QGemm": 2}
