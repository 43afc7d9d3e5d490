"""Have a model write solutions: prompts, stop rules, and a ledger of every call.

A model with a chat template is asked in its form and answers with a program between fences; any
other continues the prompt until the function is over. Samples differ by their seed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effmark.adapter import Generates, Generation, Sampling, begin, special_tokens
from effmark.code.problems import Problem
from effmark.code.solutions import Sample
from effmark.errors import UnsupportedError
from effmark.record import ModelFacts
from effmark.spec import Code

__all__ = ["Written", "spread", "write_solutions"]

_ASK = """\
Complete this Python function. Answer with the whole function in one code block.

```python
{}```"""
_ENDS = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\nassert ", "\n@", "\n```")
"""What begins at the left margin after a function that goes on is no part of it."""
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:\n```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Written:
    """One solution that a model wrote, and what the call used."""

    sample: Sample
    number: int
    """Attempt at its problem, from 0."""
    prompt_tokens: int
    completion_tokens: int
    wall_s: float
    """Share of its batch's time, by tokens."""


def spread(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    """Return at most so many problems, evenly spread over the set."""
    if limit is None or limit >= len(problems):
        return list(problems)
    return [problems[i * len(problems) // limit] for i in range(limit)]


def write_solutions(
    adapter: Generates,
    facts: ModelFacts,
    problems: Sequence[Problem],
    workload: Code,
    progress: Callable[[str], None],
) -> list[Written]:
    """Return n solutions of each problem.

    Raises:
        UnsupportedError: a prompt and its answer do not fit into the model's context.
    """
    prompts = [_Prompt.of(adapter, problem) for problem in problems]
    for prompt in prompts:
        _check_room(prompt, workload, facts)
    found: list[Written] = []
    for number in range(workload.n):
        for first in range(0, len(prompts), workload.batch):
            progress(f"writing {len(found) + 1} of {len(prompts) * workload.n}")
            part = prompts[first : first + workload.batch]
            found += _write(adapter, facts, part, workload, number)
    return found


@dataclass(frozen=True)
class _Prompt:
    problem: Problem
    ids: tuple[int, ...]
    chat: bool

    @classmethod
    def of(cls, adapter: Generates, problem: Problem) -> _Prompt:
        """Return the prompt of a problem, as a chat if the model has a template."""
        message = {"role": "user", "content": _ASK.format(problem.prompt)}
        try:
            return cls(
                problem, tuple(begin(adapter, adapter.encode(adapter.chat([message])))), True
            )
        except UnsupportedError:
            return cls(problem, tuple(begin(adapter, adapter.encode(problem.prompt))), False)


def _check_room(prompt: _Prompt, workload: Code, facts: ModelFacts) -> None:
    needed = len(prompt.ids) + (workload.new_tokens or 0)
    if facts.context_tokens is not None and needed > facts.context_tokens:
        raise UnsupportedError(
            f"problem {prompt.problem.id!r} needs {needed} tokens, the model's context has "
            f"{facts.context_tokens}; give smaller new_tokens"
        )


class _Answer:
    """A solution as it grows."""

    def __init__(self, adapter: Generates, prompt: _Prompt, ends: Sequence[int]) -> None:
        self._adapter, self._prompt, self._ends = adapter, prompt, ends
        self._ids: list[int] = []
        self.tokens = 0
        self.ended = False

    def add(self, token: int | None) -> None:
        """Take the next token; None or an end token is the end."""
        if self.ended or token is None:
            self.ended = True
            return
        self.tokens += 1
        if token in self._ends:
            self.ended = True
            return
        self._ids.append(token)
        self.ended = self._is_over(self._adapter.decode(self._ids))

    def _is_over(self, text: str) -> bool:
        if self._prompt.chat:
            return text.count("```") >= 2
        return any(end in text for end in _ENDS)

    def text(self) -> str:
        """Return the code of the answer."""
        text = self._adapter.decode(self._ids)
        if self._prompt.chat:
            fenced = _FENCE.search(text)
            return fenced[1] + "\n" if fenced else text
        ends = [text.index(end) for end in _ENDS if end in text]
        return text[: min(ends)] + "\n" if ends else text


def _write(
    adapter: Generates,
    facts: ModelFacts,
    prompts: Sequence[_Prompt],
    workload: Code,
    number: int,
) -> list[Written]:
    """Return one solution of each prompt, written together."""
    ends = special_tokens(adapter, facts).ends
    answers = [_Answer(adapter, prompt, ends) for prompt in prompts]

    def on_step(ids: Sequence[int | None]) -> bool:
        for answer, token in zip(answers, ids, strict=True):
            answer.add(token)
        return all(answer.ended for answer in answers)

    sampling = Sampling(temperature=workload.temperature, top_p=workload.top_p, seed=number)
    generation = Generation(
        prompts=tuple(prompt.ids for prompt in prompts),
        new_tokens=workload.new_tokens or 1,
        sampling=sampling,
        stop_ids=ends,
    )
    start = time.monotonic()
    adapter.generate(generation, on_step)
    adapter_s = time.monotonic() - start
    whole = sum(len(p.ids) + a.tokens for p, a in zip(prompts, answers, strict=True))
    return [
        Written(
            Sample(prompt.problem.id, answer.text(), None, number + 1),
            number,
            len(prompt.ids),
            answer.tokens,
            adapter_s * (len(prompt.ids) + answer.tokens) / whole,
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
