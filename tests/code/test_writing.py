"""A model that answers by a script: prompts, stop rules, batches, what is put into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from effmark.adapter import Generation, SpecialTokens
from effmark.code.problems import ProblemSet
from effmark.code.writing import Written, spread, write_solutions
from effmark.errors import UnsupportedError
from effmark.record import ModelFacts
from effmark.spec import Code

END = 3
FACTS = ModelFacts(
    parameters=1, weights_b=1, file_b=1, effective_bits=8, kernel="native", weights="random",
    weights_source="none", context_tokens=2000, config={"eos_token_id": END},
)  # fmt: skip


class Scripted:
    """Characters are tokens; the answer of a prompt is a fixed text, by the name it asks for."""

    def __init__(self, answer: str, *, chat: bool) -> None:
        self.answer, self.chats = answer, chat
        self.generations: list[Generation] = []
        self.steps = 0

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        if not self.chats:
            raise UnsupportedError("no chat template")
        return f"<user>{messages[0]['content']}<assistant>"

    def generate(self, generation: Generation, on_step: Any) -> None:
        self.generations.append(generation)
        for i in range(generation.new_tokens):
            self.steps += 1
            token = ord(self.answer[i]) if i < len(self.answer) else END
            if on_step([token] * len(generation.prompts)):
                return


def written(toy: ProblemSet, model: Scripted, **changes: Any) -> list[Written]:
    workload = Code(problems="toy", n=2, **{"new_tokens": 300, "batch": 2, **changes})
    problems = list(toy.problems.values())
    return write_solutions(model, FACTS, problems, workload, lambda text: None)


def test_a_continuation_ends_with_its_function(toy: ProblemSet) -> None:
    model = Scripted("    return 1\n\nprint(total(3))\nmore", chat=False)
    found = written(toy, model)
    assert [one.sample.text for one in found] == ["    return 1\n\n"] * 4
    assert model.steps == 2 * len("    return 1\n\nprint(")
    assert model.generations[0].prompts[0] == tuple(map(ord, toy.problems["divisor"].prompt))


def test_a_chat_answers_between_fences_and_ends_there(toy: ProblemSet) -> None:
    program = "def total(n):\n    return 1"
    model = Scripted(f"Sure!\n```python\n{program}\n```\nThis works because", chat=True)
    found = written(toy, model)
    assert found[0].sample.text == program + "\n"
    assert model.steps < 2 * len(model.answer)
    assert model.decode(model.generations[0].prompts[0]).startswith("<user>Complete")


def test_every_token_that_ends_an_answer_does(toy: ProblemSet) -> None:
    class Ending(Scripted):
        def special_tokens(self) -> SpecialTokens:
            return SpecialTokens(start=(2,), eos=END, ends=(END, ord("!")))

    model = Ending("    return 1\n!    never said", chat=False)
    found = written(toy, model)
    assert all("never" not in one.sample.text for one in found)
    assert {g.stop_ids for g in model.generations} == {(END, ord("!"))}
    assert {prompt[0] for g in model.generations for prompt in g.prompts} == {2}


def test_an_answer_that_is_cut_off_is_taken_as_far_as_it_came(toy: ProblemSet) -> None:
    model = Scripted("```python\ndef total(n):\n    return 1", chat=True)
    assert written(toy, model, new_tokens=20)[0].sample.text == "def total(n\n"[:10] + "\n"
    assert written(toy, model)[0].sample.text == "def total(n):\n    return 1\n"


def test_samples_differ_by_seed_and_all_calls_are_accounted_for(toy: ProblemSet) -> None:
    model = Scripted("    return 1\n", chat=False)
    found = written(toy, model, batch=1)
    assert [g.sampling.seed for g in model.generations] == [0, 0, 1, 1]
    assert [(one.sample.task_id, one.number) for one in found] == [
        ("divisor", 0), ("total", 0), ("divisor", 1), ("total", 1),
    ]  # fmt: skip
    for one in found:
        assert one.completion_tokens == len("    return 1\n") + 1
        assert one.prompt_tokens == len(toy.problems[one.sample.task_id].prompt)
        assert one.wall_s >= 0


def test_what_does_not_fit_is_refused_by_name(toy: ProblemSet) -> None:
    with pytest.raises(UnsupportedError, match="problem 'divisor' needs 2"):
        written(toy, Scripted("", chat=False), new_tokens=1990)


def test_a_limit_spreads_over_the_set(toy: ProblemSet) -> None:
    problems = list(toy.problems.values()) * 3
    assert spread(problems, None) == spread(problems, 99) == problems
    assert spread(problems, 3) == problems[::2]
