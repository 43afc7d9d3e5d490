"""From the samples of a question to one answer, and how accuracy grows with their number.

Accuracy with k of n samples is the mean over random subsets of k; coverage is pass@k, without bias.
Ties go to the answer that was sampled first. Intervals are over questions: Wilson's where each is
either right or wrong, which also holds where all are, else percentiles of resampled questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from effmark.scores import pass_at_k, quantile
from effmark.stats import proportion_interval

__all__ = ["CHOICES", "Answer", "best", "curve", "majority", "proportion", "saturation",
           "weighted"]  # fmt: skip

_SUBSETS = 30
_DRAWS = 500


@dataclass(frozen=True)
class Answer:
    """One sampled answer."""

    text: str
    right: bool
    log_prob: float | None
    """What the verifier says: the log-probability of the answer; None without a verifier."""


def majority(answers: Sequence[Answer]) -> bool:
    """Return whether the most frequent answer is right."""
    return _elected(answers, lambda answer: 1.0)


def weighted(answers: Sequence[Answer]) -> bool:
    """Return whether the answer with most probability, added over its samples, is right."""
    return _elected(answers, lambda answer: math.exp(answer.log_prob or 0.0))


def best(answers: Sequence[Answer]) -> bool:
    """Return whether the most probable answer is right."""
    return max(answers, key=lambda answer: answer.log_prob or 0.0).right


def _elected(answers: Sequence[Answer], weight: Callable[[Answer], float]) -> bool:
    votes: dict[str, float] = {}
    for answer in answers:
        votes[answer.text] = votes.get(answer.text, 0.0) + weight(answer)
    winner = max(votes, key=lambda text: votes[text])
    return next(answer.right for answer in answers if answer.text == winner)


CHOICES: Mapping[str, Callable[[Sequence[Answer]], bool]] = {
    "majority": majority,
    "weighted": weighted,
    "best_of_n": best,
}
"""How one answer is chosen from several."""


def curve(questions: Sequence[Sequence[Answer]], k: int) -> dict[str, dict[str, float]]:
    """Return accuracy with k samples by each choice, and coverage, with 95 % intervals."""
    random = Random(k)
    found = {}
    for name, choice in CHOICES.items():
        per_question = [_mean([choice(s) for s in _subsets(row, k, random)]) for row in questions]
        found[name] = _interval(per_question)
    covered = [pass_at_k(len(row), sum(a.right for a in row), k) for row in questions]
    return {**found, "coverage": _interval(covered)}


def saturation(accuracies: Mapping[int, Mapping[str, float]]) -> int:
    """Return the least number of samples from which on no more are shown to help.

    More help where some larger number's accuracy lies above the interval of this one's.
    """
    sizes = sorted(accuracies)
    for k in sizes:
        if all(accuracies[more]["value"] <= accuracies[k]["high"] for more in sizes if more > k):
            return k
    return sizes[-1]


def proportion(right: Sequence[bool]) -> dict[str, float]:
    """Return the share of questions that are right, with Wilson's interval."""
    share = proportion_interval(sum(right), len(right))
    return {"value": share.value, "low": share.low or 0.0, "high": share.high or 0.0}


def _subsets(row: Sequence[Answer], k: int, random: Random) -> list[Sequence[Answer]]:
    if k == len(row):
        return [row]
    return [[row[i] for i in sorted(random.sample(range(len(row)), k))] for _ in range(_SUBSETS)]


def _interval(values: Sequence[float]) -> dict[str, float]:
    if set(values) <= {0.0, 1.0}:
        return proportion([value == 1 for value in values])
    random = Random(0)
    draws = [_mean(random.choices(values, k=len(values))) for _ in range(_DRAWS)]
    low, high = (quantile(draws, q) or 0.0 for q in (0.025, 0.975))  # never None: draws exist
    return {"value": _mean(values), "low": low, "high": high}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
