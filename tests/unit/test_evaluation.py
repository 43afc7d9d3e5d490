"""A task is what was asked or not at all: what the adapter got, and what the record says of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import Array, Generation, OnStep, SpecialTokens
from effmark.errors import SpecError
from effmark.record import ModelFacts
from effmark.spec import Tasks

pytest.importorskip("lm_eval")
np = pytest.importorskip("numpy")

BASE = {
    "dataset_path": "json",
    "test_split": "test",
    "doc_to_text": "Q {{q}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{gold}}",
    "output_type": "multiple_choice",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
ITEMS = [{"q": word, "choices": ["yes", "no"], "gold": n % 2} for n, word in enumerate("abcde")]
TEXT = {
    "output_type": "generate_until",
    "doc_to_choice": None,
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "generation_kwargs": {"until": ["\n\n", "<|end|>"], "max_gen_toks": 12, "do_sample": False},
}
END, START, BYTES = 256, 257, 258
"""Tokens are bytes, and two special ones."""

Task = Callable[..., Tasks]


class Scripted:
    """An adapter of bytes that keeps what it is asked and says what it was told to say."""

    name = "scripted"
    precisions = ("none",)

    def __init__(self, says: Sequence[int] = (), start: tuple[int, ...] = ()) -> None:
        self.says, self.start = says, start
        self.pairs: list[tuple[str, str]] = []
        self.generations: list[Generation] = []

    def facts(self) -> ModelFacts:
        return ModelFacts(
            parameters=1, weights_b=1, file_b=1, effective_bits=8.0, kernel="native",
            weights="random", weights_source="none", context_tokens=64,
            config={"vocab_size": BYTES, "eos_token_id": END},
        )  # fmt: skip

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < END).decode(errors="replace")

    def special_tokens(self) -> SpecialTokens:
        ids = {"<|end|>": END, "<s>": START}
        return SpecialTokens(ids=ids, start=self.start, bos=START, eos=None)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        text = "".join(f"[{m['role']}]{m['content']}" for m in messages)
        return text if messages[-1]["role"] == "assistant" else text + "[assistant]"

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        self.pairs += [(self.decode(a), self.decode(b)) for a, b in pairs]
        assert all(len(a) + len(b) - 1 <= 64 for a, b in pairs)
        return [np.full((len(b), BYTES), -math.log(BYTES), np.float32) for _, b in pairs]

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        self.generations.append(generation)
        for token in self.says[: generation.new_tokens]:
            if on_step([token] * len(generation.prompts)):
                return


def run(adapter: Any, task: Tasks, cache: Path) -> dict[str, Any]:
    """Return what the record says of the only task."""
    from effmark.quality.evaluation import evaluate_tasks

    (sent,) = evaluate_tasks(adapter, adapter.facts(), task, cache, sequences=2).sent.values()
    return sent


@pytest.fixture
def task(tmp_path: Path) -> Task:
    def make(
        table: dict[str, Any] | None = None, items: Any = ITEMS, name: str = "mine", **how: Any
    ) -> Tasks:
        data = tmp_path / f"{name}.jsonl"
        lines = items if isinstance(items, str) else "".join(json.dumps(i) + "\n" for i in items)
        data.write_text(lines)
        table = {**BASE, **(table or {}), "task": name}
        table["dataset_kwargs"] = {"data_files": {"test": data.name}}
        (tmp_path / f"{name}.yaml").write_text(json.dumps(table))
        return Tasks(name=str(tmp_path / f"{name}.yaml"), **{"context_tokens": 64, **how})

    return make


@pytest.mark.parametrize(("asked", "expected"), [(0, 0), (1, 1), (None, 2), (4, 4)])
def test_the_shots_that_are_sent_are_those_that_were_asked_for(
    asked: int | None, expected: int, task: Task, tmp_path: Path
) -> None:
    adapter = Scripted()
    shots = {"num_fewshot": 2, "fewshot_split": "test"}
    sent = run(adapter, task(shots, fewshot=asked), tmp_path)
    assert sent["shots"] == expected
    assert {context.count("Q ") for context, _ in adapter.pairs} == {expected + 1}


def test_a_task_that_says_zero_shots_gets_those_that_were_asked_for(
    task: Task, tmp_path: Path
) -> None:
    adapter = Scripted()
    assert run(adapter, task({"num_fewshot": 0, "fewshot_split": "test"}, fewshot=2), tmp_path)
    assert {context.count("Q ") for context, _ in adapter.pairs} == {3}


def test_two_runs_send_the_same_shots(task: Task, tmp_path: Path) -> None:
    first, second = Scripted(), Scripted()
    asked = task({"num_fewshot": 3, "fewshot_split": "test"})
    run(first, asked, tmp_path)
    run(second, asked, tmp_path)
    assert first.pairs == second.pairs


def test_more_shots_than_there_are_examples_are_refused(task: Task, tmp_path: Path) -> None:
    asked = task({"fewshot_split": "test"}, fewshot=5)
    with pytest.raises(SpecError, match="'mine': 5 shots, but it has 4 examples for an item"):
        run(Scripted(), asked, tmp_path)


@pytest.mark.parametrize("how", [{"fewshot": 1}, {"chat": True}])
def test_whole_texts_take_neither_shots_nor_a_template(
    how: dict[str, Any], task: Task, tmp_path: Path
) -> None:
    table = {
        "output_type": "loglikelihood_rolling", "doc_to_choice": None, "doc_to_text": "",
        "doc_to_target": "{{q}}", "metric_list": [{"metric": "bits_per_byte"}],
    }  # fmt: skip
    with pytest.raises(SpecError, match="'mine' scores whole texts as they are"):
        run(Scripted(), task(table, **how), tmp_path)
    assert run(Scripted(), task(table), tmp_path)["requests"] == {"loglikelihood_rolling": 5}


def test_template_and_system_prompt_are_those_that_were_rendered(
    task: Task, tmp_path: Path
) -> None:
    adapter = Scripted()
    sent = run(adapter, task({"description": "Be brief."}, chat=True, limit=3), tmp_path)
    assert (sent["chat_template"], sent["system"], sent["items"]) == (True, ["Be brief."], 3)
    assert all(context.startswith("[system]Be brief.[user]Q ") for context, _ in adapter.pairs)
    plain = run(Scripted(), task(), tmp_path)
    assert (plain["chat_template"], plain["system"], plain["items"]) == (False, None, 5)


def test_an_answer_that_a_task_begins_is_continued_in_the_template(
    task: Task, tmp_path: Path
) -> None:
    adapter = Scripted()
    run(adapter, task({"gen_prefix": "My answer:"}, chat=True), tmp_path)
    assert {context.partition("]Q ")[2][1:] for context, _ in adapter.pairs} == {
        "[assistant]My answer:"
    }


def test_text_is_asked_of_an_adapter_that_only_generates(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("effmark_adapters.null")
    from effmark_adapters.null import NullAdapter

    asked = task(TEXT, [{"q": "a", "answer": "b"}])
    assert run(NullAdapter(), asked, tmp_path)["requests"] == {"generate_until": 1}


def test_stops_and_lengths_of_generated_text_are_those_that_were_sent(
    task: Task, tmp_path: Path
) -> None:
    items = [{"q": "x" * 80, "answer": "ok"}, {"q": "y", "answer": "ok"}]
    adapter = Scripted([*b"ok", END, *b"more"])
    asked = task(TEXT, items)
    sent = run(adapter, asked, tmp_path)
    (way,) = sent["generation"]
    assert way["stops"] == ["\n\n", "<|end|>"]
    assert (way["new_tokens"], way["sampling"]["temperature"]) == (12, 0.0)
    assert sent["cut"] == {"contexts": 0, "continuations": 0, "prompts": 1}
    assert (sent["longest_tokens"], sent["context_tokens"]) == (64 - 12, 64)
    assert {len(p) for g in adapter.generations for p in g.prompts} == {52, 3}


@pytest.mark.parametrize(
    ("says", "right"),
    [
        ([*b"ok", END, *b"more"], 1.0),  # a special token that decoding leaves out
        ([*b"ok\n\nmore"], 1.0),  # a stop in two steps
        ([*b"ok\nmore"], 0.0),
        ([*b"ok", START], 1.0),  # a special token that is no stop
    ],
)
def test_text_ends_at_a_stop_whether_decoding_shows_it_or_not(
    says: list[int], right: float, task: Task, tmp_path: Path
) -> None:
    from effmark.quality.evaluation import evaluate_tasks

    asked = task(TEXT, [{"q": "does <|end|> in a prompt\n\nend it?", "answer": "ok"}])
    adapter: Any = Scripted(says)
    assert evaluate_tasks(adapter, adapter.facts(), asked, tmp_path).right == (right,)


def test_a_task_without_stops_runs_to_its_length(task: Task, tmp_path: Path) -> None:
    table = {**TEXT, "generation_kwargs": {"max_gen_toks": 4, "until": []}}
    adapter = Scripted(b"abcdefgh")
    sent = run(adapter, task(table, [{"q": "a", "answer": "abcd"}]), tmp_path)
    assert [way["stops"] for way in sent["generation"]] == [[]]


def test_a_setting_that_no_adapter_can_follow_is_refused(task: Task, tmp_path: Path) -> None:
    table = {**TEXT, "generation_kwargs": {"until": ["."], "num_beams": 4}}
    asked = task(table, [{"q": "a", "answer": "b"}])
    with pytest.raises(SpecError, match=r"item 0 .*setting 'num_beams' is 4; adapters take"):
        run(Scripted(), asked, tmp_path)


def test_a_choice_longer_than_the_context_is_cut_and_counted(task: Task, tmp_path: Path) -> None:
    items = [
        {"q": "a", "choices": ["x" * 200, "no"], "gold": 0},
        {"q": "b" * 90, "choices": ["yes", "n" * 61], "gold": 0},
    ]
    adapter = Scripted()
    sent = run(adapter, task(items=items), tmp_path)
    assert sent["cut"] == {"contexts": 2, "continuations": 1, "prompts": 0}
    assert ("x", "x" * 64) in adapter.pairs
    assert ("bbb", " " + "n" * 61) in adapter.pairs


def test_a_text_begins_as_the_tokenizer_begins_it(task: Task, tmp_path: Path) -> None:
    from effmark.quality.bridge import AdapterLM

    adapter: Any = Scripted(start=(START,))
    model = AdapterLM(adapter, adapter.facts())
    assert model.tok_encode("a") == [START, 97]
    assert model.tok_encode("a", add_special_tokens=False) == [97]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ('{"q": "a", "choices": ["b", "c"], "gold": 0}\n\n{"q": "a", \n', r"jsonl':3: not JSON"),
        ('{"q": "a", "choices": ["b", "c"], "gold": 0}\n[1]\n', r"jsonl':2: not an object"),
        ("", r"jsonl': no items"),
        ([*ITEMS, {"q": "a \udc9f", "choices": ["b", "c"], "gold": 0}], r":6: half a surrogate"),
        ([*ITEMS, {"q": "a", "gold": 0}], r"jsonl':6: doc_to_choice shows 'choices', it has none"),
        ([ITEMS[0], {"choices": ["b", "c"], "gold": 0}], r"jsonl':2: doc_to_text shows 'q'"),
        ([*ITEMS, {"q": "a", "choices": ["b", "c"], "gold": None}], r":6: doc_to_target shows"),
        ([*ITEMS, {"q": "a", "choices": ["", "c"], "gold": 0}], r"item 5 .*choice '' has no token"),
    ],
)
def test_an_item_that_cannot_be_asked_is_named(
    items: Any, message: str, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        run(Scripted(), task({"target_delimiter": ""}, items), tmp_path)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{question}}", r"mine.yaml': lm-eval cannot load it: UndefinedError: 'question' is"),
        ("{% if q == 'c' %}{{ q / 2 }}{% endif %}", r"jsonl':3: doc_to_text: TypeError"),
    ],
)
def test_a_template_that_fails_on_an_item_is_named(
    template: str, message: str, task: Task, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        run(Scripted(), task({"doc_to_text": template}), tmp_path)


def test_items_in_an_encoding_that_is_not_read_are_named_by_it(task: Task, tmp_path: Path) -> None:
    asked = task()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(SpecError, match=r"jsonl': UTF-16, which lm-eval does not read"):
        run(Scripted(), asked, tmp_path)


def test_what_caused_an_error_is_said_with_it() -> None:
    from effmark.quality.items import said

    error = ValueError("cannot make the data set\nsee above")
    error.__cause__ = KeyError("row 7")
    assert said(error) == "ValueError: cannot make the data set; KeyError: 'row 7'"


def test_letters_of_all_scripts_come_through(task: Task, tmp_path: Path) -> None:
    adapter = Scripted()
    run(adapter, task(items=[{"q": "你好 é", "choices": ["да", "नहीं"], "gold": 0}]), tmp_path)
    assert adapter.pairs == [("Q 你好 é", " да"), ("Q 你好 é", " नहीं")]
