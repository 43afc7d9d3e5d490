from __future__ import annotations

import pytest

from effmark.errors import UnsupportedError
from effmark.proof import STEPS, questions


def test_prompts_differ_in_length_and_begin_as_the_model_wants() -> None:
    text, prompts = questions(range(100, 200), begin=(1,))
    assert text == (1, *range(100, 140))
    assert [prompt[0] for prompt in prompts] == [1, 1, 1]
    assert len({len(prompt) for prompt in prompts}) == 3


def test_a_short_text_is_repeated() -> None:
    text, _ = questions([5, 6, 7])
    assert len(text) == 40
    assert set(text) == {5, 6, 7}


def test_a_short_context_shortens_the_questions() -> None:
    text, prompts = questions(range(100), begin=(1,), context_tokens=24)
    assert len(text) <= 24
    assert max(map(len, prompts)) + STEPS <= 24
    assert len({len(prompt) for prompt in prompts}) == 3
    with pytest.raises(UnsupportedError, match="a context of 16 tokens is too short"):
        questions(range(100), context_tokens=16)
