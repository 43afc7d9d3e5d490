"""Perplexities, bits per byte and rolling windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    bits_per_byte,
    byte_perplexity,
    count_words,
    rolling_windows,
    token_perplexity,
    word_perplexity,
)

Oracles = Callable[[str], Any]
DOCUMENTS = st.lists(st.tuples(st.floats(-500, 0), st.integers(1, 900)), min_size=1, max_size=12)


@given(DOCUMENTS)
def test_bits_per_byte_is_the_logarithm_of_byte_perplexity(
    documents: list[tuple[float, int]],
) -> None:
    nats, sizes = [ll for ll, _ in documents], [size for _, size in documents]
    bits, perplexity = bits_per_byte(nats, sizes), byte_perplexity(nats, sizes)
    assert bits is not None
    assert perplexity is not None
    assert bits >= 0
    assert math.isinf(perplexity) or math.log2(perplexity) == pytest.approx(bits, abs=1e-9)


@given(DOCUMENTS)
def test_splitting_a_document_changes_nothing(documents: list[tuple[float, int]]) -> None:
    nats, words = [ll for ll, _ in documents], [size for _, size in documents]
    whole = word_perplexity([math.fsum(nats)], [sum(words)])
    assert word_perplexity(nats, words) == pytest.approx(whole)


@given(st.integers(2, 100_000), st.integers(1, 50))
def test_guessing_among_n_has_perplexity_n(n: int, count: int) -> None:
    assert token_perplexity([-math.log(n)] * count) == pytest.approx(n)


@given(st.integers(0, 80), st.integers(1, 12), st.data())
def test_windows_score_every_token_once(size: int, longest: int, data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, longest))
    tokens = list(range(100, 100 + size))
    windows = rolling_windows(tokens, 7, longest, context_length=kept)
    assert [token for _, found in windows for token in found] == tokens
    for context, found in windows:
        assert context
        assert len(context) + len(found) <= longest + 1
    for context, found in windows[1:]:
        # The context is the text right before what is predicted, and as long as asked for.
        assert context == list(range(found[0] - len(context), found[0]))
        assert len(context) >= kept


def test_certainty_is_a_plain_zero() -> None:
    assert str(bits_per_byte([0.0], [5])) == "0.0"


def test_a_hopeless_word_perplexity_is_infinite() -> None:
    assert word_perplexity([-1e6], [1]) == math.inf


@pytest.mark.parametrize(("text", "words"), [("", 1), ("a", 1), ("a \n\t b", 2), (" a ", 3)])
def test_blanks_at_the_ends_make_empty_words(text: str, words: int) -> None:
    assert count_words(text) == words


def test_aggregation_agrees_with_the_harness(oracles: Oracles) -> None:
    for case in oracles("lmeval_perplexity")["aggregation"]:
        documents = case["docs"]
        nats = [document["loglikelihood_nats"] for document in documents]
        words = [document["words"] for document in documents]
        sizes = [document["bytes"] for document in documents]
        assert [count_words(document["text"]) for document in documents] == words
        for found, key in [
            (word_perplexity(nats, words), "word_perplexity"),
            (byte_perplexity(nats, sizes), "byte_perplexity"),
            (bits_per_byte(nats, sizes), "bits_per_byte"),
            (token_perplexity(nats), "token_perplexity_of_mean"),
        ]:
            if str(case[key]).startswith("ZeroDivisionError"):
                assert found is None
            else:
                assert found == pytest.approx(float(case[key]), rel=1e-9), key


def test_windows_agree_with_the_harness(oracles: Oracles) -> None:
    for case in oracles("lmeval_perplexity")["windows"]:
        found = rolling_windows(
            range(100, 100 + case["n_tokens"]),
            case["prefix_token"],
            case["max_seq_len"],
            context_length=case["context_len"],
        )
        wanted = [(window["context"], window["continuation"]) for window in case["disjoint"]]
        assert found == wanted, case
