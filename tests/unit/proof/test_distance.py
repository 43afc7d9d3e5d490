from __future__ import annotations

import math

import numpy as np
import pytest

from effmark.proof.distance import distance


def rows(*chances: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(chances, np.float32))


def test_equal_rows_are_not_apart() -> None:
    same = rows((0.7, 0.2, 0.1), (0.1, 0.1, 0.8))
    found = distance(same, same)
    assert found.largest_ratio == 0
    assert found.kl_nats == 0
    assert found.top1_agreement_ratio == 1


def test_divergence_is_the_mean_over_rows_in_nats() -> None:
    wanted, got = rows((0.5, 0.5), (0.5, 0.5)), rows((0.25, 0.75), (0.5, 0.5))
    expected = 0.5 * (0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert distance(wanted, got).kl_nats == pytest.approx(expected, rel=1e-5)


def test_a_model_that_forgot_the_text_has_a_ratio_of_one() -> None:
    wanted = rows((0.9, 0.1), (0.1, 0.9))
    assert distance(wanted, rows((0.5, 0.5), (0.5, 0.5))).kl_ratio == pytest.approx(1, rel=1e-5)


def test_agreement_counts_clear_answers_only_where_there_are_ten() -> None:
    clear, close = (0.9, 0.1), (0.51, 0.49)
    few = rows(*[clear] * 9, *[close] * 5)
    many = rows(*[clear] * 12, *[close] * 4)
    turned = rows(*[clear] * 12, *[(0.49, 0.51)] * 4)
    assert distance(few, few).clear_agreement_ratio is None
    assert distance(many, turned).clear_agreement_ratio == 1
    assert distance(many, turned).top1_agreement_ratio == 0.75


def test_columns_of_padding_do_not_count() -> None:
    wanted = rows((0.75, 0.25), (0.5, 0.5))
    padded = rows((0.6, 0.2, 0.2), (0.4, 0.4, 0.2))
    assert distance(wanted, padded).largest_ratio < 1e-6


def test_impossible_tokens_do_not_make_it_infinite() -> None:
    wanted = np.array([[0.0, -np.inf], [-1.0, -0.459]], np.float32)
    assert distance(wanted, wanted).largest_ratio == 0


def test_what_is_no_number_is_refused() -> None:
    wanted = rows((0.5, 0.5))
    with pytest.raises(ValueError, match="no number"):
        distance(wanted, np.array([[np.nan, -0.7]], np.float32))
    with pytest.raises(ValueError, match="2 rows came, 1 were asked for"):
        distance(wanted, rows((0.5, 0.5), (0.5, 0.5)))


def test_few_steps_that_repeat_a_word_have_the_scale_of_all() -> None:
    steps, off = rows((0.9, 0.1), (0.88, 0.12)), rows((0.7, 0.3), (0.7, 0.3))
    text = rows((0.9, 0.1), (0.1, 0.9), (0.5, 0.5))
    assert distance(steps, off).kl_ratio > 1
    assert distance(steps, off, text).kl_ratio < 0.5
