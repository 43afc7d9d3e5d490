from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.adapter import Generates, Generation, LoadRequest, Sampling, Scores
from effmark.errors import (
    AdapterError,
    OutOfMemoryError,
    PrerequisiteError,
    SpecError,
    UnsupportedError,
)
from effmark.models import resolve_model

Load = Callable[..., Any]
PROMPT = (2, 41, 70, 12, 99, 150, 33, 7)


def run(adapter: Any, *prompts: tuple[int, ...], new_tokens: int = 12, **settings: Any) -> Any:
    steps: list[list[int | None]] = []

    def on_step(ids: Any) -> bool:
        steps.append(list(ids))
        return False

    adapter.generate(Generation(prompts=prompts, new_tokens=new_tokens, **settings), on_step)
    return [list(column) for column in zip(*steps, strict=True)]


def test_the_adapter_generates_and_scores(load: Load, tiny: Any) -> None:
    adapter = load(tiny)
    assert isinstance(adapter, Generates)
    assert isinstance(adapter, Scores)


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_greedy_tokens_are_those_of_the_reference(load: Load, tiny: Any, precision: str) -> None:
    assert run(load(tiny, precision), PROMPT) == [tiny.greedy(list(PROMPT), 12)]


def test_log_probs_are_those_of_the_reference(load: Load, tiny: Any) -> None:
    import numpy as np

    ids = [*PROMPT, 5, 8, 200, 17, 260]
    (found,) = load(tiny).log_probs([(ids[:3], ids[3:])])
    assert found.shape == (len(ids) - 3, tiny.vocabulary)
    assert found.dtype == np.float32
    assert np.abs(found - tiny.log_probs(ids)[2:-1]).max() < 1e-4
    assert np.allclose(np.exp(found.astype(np.float64)).sum(axis=1), 1, atol=1e-5)


def test_shared_contexts_score_as_if_alone(load: Load, tiny: Any) -> None:
    import numpy as np

    adapter = load(tiny)
    pairs = [(PROMPT, (5, 6)), (PROMPT, (5, 7, 9)), (PROMPT[:4], (70,)), (PROMPT, ())]
    together = adapter.log_probs(pairs)
    for pair, found in zip(pairs, together, strict=True):
        (alone,) = adapter.log_probs([pair])
        assert found.shape == (len(pair[1]), tiny.vocabulary)
        assert np.abs(found - alone).max(initial=0) < 1e-4


def test_a_text_longer_than_one_batch_scores_every_position(load: Load, tiny: Any) -> None:
    import numpy as np

    ids = [int(i) for i in np.random.default_rng(0).integers(2, 260, 700)]
    (found,) = load(tiny, context_tokens=1024).log_probs([(ids[:1], ids[1:])])
    assert np.abs(found - tiny.log_probs(ids)[:-1]).max() < 1e-3


def test_a_batch_of_different_lengths_gives_what_each_prompt_gives_alone(
    load: Load, tiny: Any
) -> None:
    adapter = load(tiny, batch=3)
    prompts = (PROMPT, PROMPT[:3], (9, 8, 7, 6, 5))
    together = run(adapter, *prompts)
    assert together == [run(adapter, prompt)[0] for prompt in prompts]


def test_prompts_longer_than_one_batch_are_read_whole(load: Load, tiny: Any) -> None:
    import numpy as np

    ids = tuple(int(i) for i in np.random.default_rng(1).integers(2, 260, 600))
    adapter = load(tiny, context_tokens=700, batch=2)
    together = run(adapter, ids, ids[:590], new_tokens=2)
    expected = [tiny.greedy(list(ids), 2), tiny.greedy(list(ids[:590]), 2)]
    assert together == expected


def test_a_stop_token_is_delivered_and_then_nothing(load: Load, tiny: Any) -> None:
    adapter = load(tiny, batch=2)
    free = run(adapter, PROMPT, PROMPT[:3])
    stop = free[0][2]
    stopped = run(adapter, PROMPT, PROMPT[:3], stop_ids=(stop,))
    at = free[0].index(stop)
    assert stopped[0][: at + 1] == free[0][: at + 1]
    assert set(stopped[0][at + 1 :]) <= {None}


def test_the_harness_can_end_a_generation(load: Load, tiny: Any) -> None:
    steps = []

    def two(ids: Any) -> bool:
        steps.append(ids)
        return len(steps) == 2

    load(tiny).generate(Generation(prompts=(PROMPT,), new_tokens=50), two)
    assert len(steps) == 2


def test_sampling_follows_the_seed(load: Load, tiny: Any) -> None:
    adapter = load(tiny)

    def sampled(seed: int, **settings: Any) -> Any:
        sampling = Sampling(temperature=1.0, seed=seed, **settings)
        return run(adapter, PROMPT, sampling=sampling)

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert sampled(3, top_k=1) == run(adapter, PROMPT)
    assert sampled(3, top_p=1e-6) == run(adapter, PROMPT)


def test_sequences_of_one_batch_draw_differently(load: Load, tiny: Any) -> None:
    one, other = run(load(tiny, batch=2), PROMPT, PROMPT, sampling=Sampling(temperature=1.0))
    assert one != other


def test_special_tokens_are_read_and_left_out(load: Load, tiny: Any) -> None:
    adapter = load(tiny)
    text = "the  cat é<|endoftext|> the"
    ids = adapter.encode(text)
    assert 0 in ids
    assert adapter.decode(ids) == text.replace("<|endoftext|>", "")
    the = adapter.encode(" the")
    assert len(the) == 1


def test_bytes_inside_a_character_are_tokens_like_others(load: Load, tiny: Any) -> None:
    adapter = load(tiny)
    ids = adapter.encode("é")
    assert len(ids) == 2
    assert adapter.decode(ids) == "é"
    assert adapter.decode(ids[:1]) == "\N{REPLACEMENT CHARACTER}"


def test_the_chat_template_of_the_file_is_used(load: Load, tiny: Any) -> None:
    messages = [{"role": "user", "content": "hi"}]
    assert load(tiny).chat(messages) == "<|im_start|>user: hi\nassistant:"


def test_a_model_without_chat_template_says_so(load: Load, tiny: Any, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny.folder, tmp_path / "plain")
    (folder / "tokenizer_config.json").unlink()
    model = type(tiny)(folder, tiny.weights, 4, 2, tiny.layers, tiny.vocabulary)
    with pytest.raises(UnsupportedError, match="no chat template"):
        load(model).chat([{"role": "user", "content": "hi"}])


def test_facts_come_from_the_tensors(load: Load, tiny: Any) -> None:
    facts = load(tiny, "q4_0").facts()
    assert facts.parameters == tiny.parameters
    assert 4.5 < facts.effective_bits < 8.5
    assert facts.kernel == "native"
    assert facts.kv_bytes_per_token == 2 * 2 * tiny.layers * tiny.kv_heads * 16
    assert facts.quantisation["tensors_Q4_0"] == 7 * tiny.layers
    assert facts.quantisation["group_size"] == 32
    assert "CPU" in str(facts.runtime["system_info"])


@pytest.mark.parametrize(("precision", "value_b"), [("f32", 4), ("f16", 2), ("q8_0", 2)])
def test_the_cache_is_f32_only_where_the_weights_are(
    load: Load, tiny: Any, precision: str, value_b: int
) -> None:
    facts = load(tiny, precision).facts()
    assert facts.kv_bytes_per_token == value_b * 2 * tiny.layers * tiny.kv_heads * 16
    assert facts.runtime["kv_cache_type"] == f"f{8 * value_b}"


@pytest.mark.parametrize(
    ("precision", "most", "bound"), [("q4_k_m", "Q4_K", 0.5), ("q6_k", "Q6_K", 0.05)]
)
def test_k_quants_are_made_by_the_library(
    load: Load, wide: Any, precision: str, most: str, bound: float
) -> None:
    import numpy as np

    adapter = load(wide, precision)
    facts = adapter.facts()
    assert facts.quantisation["scheme"] == most
    assert facts.effective_bits < 7
    (found,) = adapter.log_probs([(PROMPT[:1], PROMPT[1:])])
    true = wide.log_probs(list(PROMPT))[:-1]
    kl = (np.exp(true) * (true - found)).sum(axis=1).mean()
    assert 0 < kl < bound


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"precision": "int4"}, "precision 'int4' is not one of f32, f16"),
        ({"device": "cuda:0"}, "device 'cuda:0'"),
        ({"options": {"compile": True}}, r"options \['compile'\]"),
    ],
)
def test_what_it_cannot_do_it_refuses_by_name(
    xllamacpp: None, tiny: Any, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    precision = changes.pop("precision", "f32")
    with pytest.raises(UnsupportedError, match=sentence):
        LlamaCppAdapter.prepare(tiny.request(tmp_path, precision, **changes))


def test_requests_that_do_not_fit_are_refused_with_their_numbers(load: Load, tiny: Any) -> None:
    adapter = load(tiny, context_tokens=16)
    with pytest.raises(SpecError, match=r"prompt of 8 and 9 new tokens.*16 at most"):
        run(adapter, PROMPT, new_tokens=9)
    with pytest.raises(SpecError, match="2 prompts together, loaded for 1"):
        run(adapter, PROMPT, PROMPT)
    with pytest.raises(SpecError, match="prompts hold at least 1 token"):
        run(adapter, ())
    with pytest.raises(SpecError, match=r"0 \+ 1 tokens"):
        adapter.log_probs([((), (1,))])


def test_a_cache_larger_than_the_machine_is_out_of_memory(load: Load, tiny: Any) -> None:
    with pytest.raises(OutOfMemoryError, match=r"2000000000 x 8 tokens need \d+ bytes"):
        load(tiny, context_tokens=2_000_000_000, batch=8)


@pytest.mark.parametrize("token", [288, 5000, -1])
def test_a_token_that_does_not_exist_is_refused(load: Load, tiny: Any, token: int) -> None:
    adapter = load(tiny)
    with pytest.raises(SpecError, match=f"token {token} does not exist; this model has 288"):
        run(adapter, (3, token))
    with pytest.raises(SpecError, match=f"token {token} does not exist"):
        adapter.log_probs([((3,), (4, token))])


def test_no_prompts_at_all_are_refused(load: Load, tiny: Any) -> None:
    with pytest.raises(SpecError, match="no prompts"):
        run(load(tiny))


def test_what_decoding_sees_can_be_shown_for_given_tokens(load: Load, tiny: Any) -> None:
    import numpy as np

    adapter = load(tiny, batch=2)
    prompts, continuations = [PROMPT, PROMPT[:3]], [(5, 8, 200, 17), (9, 9, 0, 41)]
    shown = adapter.replay(prompts, continuations)
    for prompt, continuation, rows in zip(prompts, continuations, shown, strict=True):
        true = tiny.log_probs([*prompt, *continuation])[len(prompt) - 1 : -1]
        assert rows.shape == true.shape
        assert np.abs(rows - true).max() < 1e-4


def test_closing_twice_is_allowed_and_then_nothing_is_loaded(load: Load, tiny: Any) -> None:
    adapter = load(tiny)
    adapter.close()
    adapter.close()
    with pytest.raises(AdapterError, match="call load first"):
        adapter.facts()


def test_the_native_adapter_names_its_package_where_it_is_absent(tiny: Any, tmp_path: Path) -> None:
    from effmark_adapters.llama_cpp_native import LlamaCppNativeAdapter

    if importlib.util.find_spec("llama_cpp") is not None:
        pytest.skip("llama-cpp-python is installed")
    with pytest.raises(PrerequisiteError, match=r"pip install 'effmark\[llama-cpp-native\]'"):
        LlamaCppNativeAdapter.prepare(tiny.request(tmp_path, "f32"))


def test_the_native_adapter_agrees_where_it_is_installed(tiny: Any, cache: Path) -> None:
    from effmark_adapters.llama_cpp_native import LlamaCppNativeAdapter

    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip("pip install 'effmark[llama-cpp-native]' (builds for minutes)")
    adapter = LlamaCppNativeAdapter()
    adapter.load(tiny.request(cache, "f32"))
    try:
        assert run(adapter, PROMPT) == [tiny.greedy(list(PROMPT), 12)]
    finally:
        adapter.close()


_ALONE = """
import os, sys
from pathlib import Path
from effmark.adapter import Generation, LoadRequest
from effmark_adapters.llama_cpp import LlamaCppAdapter

adapter = LlamaCppAdapter()
adapter.load(LoadRequest.model_validate_json(sys.argv[1]))
adapter.generate(Generation(prompts=((2, 3, 4),), new_tokens=3), lambda ids: False)
adapter.log_probs([((2, 3), (4,))])
adapter.facts()
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
         if os.path.islink(f"/proc/self/fd/{fd}")]
heavy = {"torch", "transformers", "tokenizers", "xllamacpp"} & set(sys.modules)
print(sorted(heavy), [link for link in links if link.startswith("socket:")])
"""


_LOADED = """
import sys
from effmark.adapter import LoadRequest
from effmark_adapters.llama_cpp import LlamaCppAdapter

LlamaCppAdapter().load(LoadRequest.model_validate_json(sys.argv[1]))
"""


def test_where_llama_cpp_aborts_the_last_line_says_why(
    xllamacpp: None, tiny_models: ModuleType, tmp_path: Path
) -> None:
    """A file whose header says windows of which no layer has one."""
    from gguf import GGUFReader

    from effmark_adapters.artefacts.gguf_file import gguf_file

    folder = tiny_models.make(tmp_path / "m", "gemma2", tied=True, query_pre_attn_scalar=16)
    wanted = LoadRequest(
        model=resolve_model(str(folder), tmp_path), precision="f32", cache=tmp_path
    )
    path = gguf_file(wanted).path
    reader = GGUFReader(path, "r+")
    reader.fields["gemma2.attention.sliding_window_pattern"].parts[-1][0] = 1
    reader.data.flush()
    request = wanted.model_copy(
        update={"model": resolve_model(str(path), tmp_path), "precision": "as_is"}
    )
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, request.model_dump_json()], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGABRT
    assert "GGML_ASSERT(hparams.is_swa_any()) failed" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_alone_it_imports_no_framework_and_opens_no_socket(
    xllamacpp: None, tiny: Any, cache: Path
) -> None:
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    request = tiny.request(cache, "f32")
    LlamaCppAdapter.prepare(request)  # in a process of its own, in the product as well as here
    done = subprocess.run(
        [sys.executable, "-c", _ALONE, request.model_dump_json()],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout == "[] []\n"
    assert "llama" not in done.stderr.replace("effmark: preparing", "")


def test_a_library_with_another_layout_is_refused_before_a_model_is_loaded(
    xllamacpp: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from effmark_adapters.ggml import library
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    opened = LlamaCppAdapter._library()
    monkeypatch.setattr(library, "_FIRST_DEFAULTS", (1, 2, 3, 4))
    with pytest.raises(PrerequisiteError, match="begins llama_context_params with"):
        opened._check_layout()
    monkeypatch.setitem(library._SIGNATURES, "llama_nothing", (None, ()))
    path = next(Path(str(importlib.util.find_spec("xllamacpp").origin)).parent.glob("*.so"))  # type: ignore[union-attr]
    with pytest.raises(PrerequisiteError, match="no function llama_nothing"):
        library.Library(path, "some wheel")
