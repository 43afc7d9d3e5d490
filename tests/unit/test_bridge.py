"""The bridge gives lm-eval the answers of its own `hf` model, on the same weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import SpecError, UnsupportedError
from effmark.models import resolve_model
from effmark.quality.answers import Answer
from effmark.quality.batches import batches, cut, texts
from effmark.registry import adapter_class
from effmark.spec import Tasks
from effmark.suites import data_file

pytest.importorskip("lm_eval")
pytest.importorskip("torch")

TOLERANCE = 1e-3
MINI = Tasks(name="effmark_mini", limit=4)
SEQUENCES = 3
CHOICES = [
    ("The capital city of France is", " Paris"),
    ("The capital city of France is", " Lyon and more"),
    ("The capital city of France is", " Lyon and less"),
    ("", "The teachers are famous."),
    ("", "The teachers is famous."),
    ("6 + 3 = 9\n7 + 6 = ", "13"),
    ("bridge basket winter", " summer hammer"),
    ("winter basket " * 400, " bridge and summer"),
]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    cache = tmp_path_factory.mktemp("cache")
    request = LoadRequest(
        model=resolve_model("effmark-1m", cache),
        precision="fp32",
        context_tokens=512,
        batch=SEQUENCES,
        cache=cache,
    )
    kind: Any = adapter_class("torch")
    kind.prepare(request)
    loaded = kind()
    loaded.load(request)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def bridge(adapter: Any) -> Any:
    from effmark.quality.bridge import AdapterLM

    return AdapterLM(adapter, adapter.facts(), sequences=SEQUENCES)


@pytest.fixture(scope="module")
def hf(adapter: Any) -> Any:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = resolve_model("effmark-1m", Path()).path
    net = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return HFLM(pretrained=net, tokenizer=AutoTokenizer.from_pretrained(folder), batch_size=4)


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Any]:
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, each, number) for number, each in enumerate(arguments)]


def text(start: int, length: int) -> str:
    whole = data_file("text", "austen.txt").read_text(encoding="utf-8")
    return whole[start : start + length]


def test_choices_score_as_in_the_hf_model(bridge: Any, hf: Any) -> None:
    asked = requests("loglikelihood", [tuple(pair) for pair in CHOICES])
    ours = bridge.loglikelihood(asked, disable_tqdm=True)
    theirs = hf.loglikelihood(asked, disable_tqdm=True)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert [score for score, _ in ours] == pytest.approx(
        [score for score, _ in theirs], abs=TOLERANCE
    )


def test_the_model_is_called_no_more_often_than_by_the_hf_model(
    adapter: Any, bridge: Any, hf: Any
) -> None:
    calls = {"ours": 0, "theirs": 0}

    def counted(who: str) -> Any:
        def hook(*_: Any) -> None:
            calls[who] += 1

        return hook

    hooks = [
        adapter._weights.net.register_forward_hook(counted("ours")),
        hf.model.register_forward_hook(counted("theirs")),
    ]
    lines = data_file("tasks", "effmark_mini", "facts.jsonl").read_text("utf-8").splitlines()
    items = [json.loads(line) for line in lines[:24]]
    pairs = [(item["query"], f" {choice}") for item in items for choice in item["choices"]]
    asked = requests("loglikelihood", pairs)
    ours, theirs = (model.loglikelihood(asked, disable_tqdm=True) for model in (bridge, hf))
    for hook in hooks:
        hook.remove()
    assert [s for s, _ in ours] == pytest.approx([s for s, _ in theirs], abs=TOLERANCE)
    assert calls["ours"] <= calls["theirs"]


def test_whole_texts_score_as_in_the_hf_model(bridge: Any, hf: Any) -> None:
    pieces = [(text(0, 400),), (text(5000, 90),), (text(9000, 5000),)]  # the last: many windows
    asked = requests("loglikelihood_rolling", pieces)
    theirs = hf.loglikelihood_rolling(asked, disable_tqdm=True)
    assert bridge.loglikelihood_rolling(asked) == pytest.approx(theirs, abs=TOLERANCE)


def test_continuations_are_those_of_the_hf_model(bridge: Any, hf: Any) -> None:
    settings = {"until": [".", "\n"], "max_gen_toks": 12, "do_sample": False}
    prompts = [(text(start, 60 + start % 50), settings) for start in range(0, 2800, 400)]
    prompts.append((text(100, 40), {"until": [], "max_gen_toks": 5}))
    prompts.append((text(100, 4000), settings))  # longer than the context: its end is continued
    asked = requests("generate_until", prompts)
    assert bridge.generate_until(asked) == hf.generate_until(asked, disable_tqdm=True)


def test_a_task_group_scores_as_in_the_hf_model(
    adapter: Any, hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import effmark.quality.bridge as bridge_module
    from effmark.quality.evaluation import evaluate_tasks

    ours = evaluate_tasks(adapter, adapter.facts(), MINI, tmp_path)
    monkeypatch.setattr(bridge_module, "AdapterLM", lambda *_, **__: hf)
    theirs = evaluate_tasks(adapter, adapter.facts(), MINI, tmp_path)
    assert ours.right == theirs.right
    assert ours.results["effmark_mini"] == theirs.results["effmark_mini"]


def test_requests_that_differ_in_their_last_token_are_computed_once() -> None:
    (only,) = texts([([1, 2], [3]), ([1, 2], [4]), ([1], [2, 5])])
    assert (only.context, only.continuation, only.requests) == ([1], [2, 5], [0, 1, 2])


def test_batches_keep_contexts_together_and_bound_the_rows() -> None:
    asked = texts([([1, context], [n, 0]) for n in range(3) for context in (7, 8)])
    by_context = [[t.context[1] for t in batch] for batch in batches(asked, 2, 100)]
    assert by_context == [[7, 7, 7], [8, 8, 8]]
    assert [len(batch) for batch in batches(asked, 100, 4)] == [2, 2, 2]
    starts = texts([([1], [n, *[0] * n]) for n in range(6)])
    sizes = [[len(t.continuation) for t in batch] for batch in batches(starts, 2, 100)]
    assert sizes == [[6, 5], [4, 3], [2, 1]]


def answer(pieces: list[str], stops: list[str], special: Collection[int] = ()) -> Answer:
    """Return an answer of tokens that are numbers of pieces, all given."""

    def decode(ids: Sequence[int]) -> str:
        return "".join(pieces[i] for i in ids if i not in special)

    found = Answer(decode, {i: pieces[i] for i in special}, (), stops)
    for token in range(len(pieces)):
        found.add(token)
    return found


def test_a_stop_is_found_across_tokens_and_nothing_follows_it() -> None:
    found = answer(["one", "\n", "\ntw", "o"], ["\n\n"])
    assert found.ended
    assert found.text() == "one"


@pytest.mark.parametrize("stop", ["<|im_end|>", "<|im_end|>\n", "\n<|im_end|>", "e\n<|im_end|>\nt"])
def test_a_stop_may_name_a_special_token(stop: str) -> None:
    found = answer(["one", "\n", "<|im_end|>", "\ntwo"], [stop], {2})
    assert found.ended
    assert found.text() == "one\n"[: "one\n<|im_end|>\ntwo".index(stop)]


def test_a_special_token_that_is_no_stop_leaves_no_trace() -> None:
    found = answer(["one", "<|tool|>", " two", ".", "<|end|>"], ["."], {1, 4})
    assert found.text() == "one two"


@pytest.mark.parametrize(
    ("context", "continuation", "length", "kept", "lost"),
    [
        ([1, 2], [3, 4], 3, ([1, 2], [3, 4]), ""),
        ([1, 2, 3], [4, 5], 3, ([2, 3], [4, 5]), "contexts"),
        ([1, 2, 3], [4, 5, 6], 3, ([3], [4, 5, 6]), "contexts"),
        ([1, 2, 3], [4, 5, 6, 7], 3, ([4], [5, 6, 7]), "continuations"),
        ([1], [2, 3, 4, 5, 6, 7], 3, ([4], [5, 6, 7]), "continuations"),
    ],
)
def test_a_question_is_cut_to_the_last_tokens_that_the_model_reads(
    context: list[int],
    continuation: list[int],
    length: int,
    kept: tuple[list[int], list[int]],
    lost: str,
) -> None:
    assert cut(context, continuation, length) == (kept, lost)


def test_more_new_tokens_than_the_context_holds_are_refused(bridge: Any) -> None:
    asked = requests("generate_until", [("Once", {"until": [], "max_gen_toks": 512})])
    with pytest.raises(SpecError, match="max_gen_toks 512 leaves no room"):
        bridge.generate_until(asked)


def test_an_adapter_without_log_probabilities_is_refused_by_name() -> None:
    from effmark.quality.bridge import AdapterLM
    from effmark_adapters.null import NullAdapter

    null = NullAdapter()
    with pytest.raises(UnsupportedError, match="'null' gives no log-probabilities"):
        AdapterLM(null, null.facts()).loglikelihood(requests("loglikelihood", [("a", "b")]))
