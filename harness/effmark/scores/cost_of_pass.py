"""Cost-of-pass: the expected price in USD of one correct answer.

v(model, problem) = mean cost of an attempt / mean score of an attempt, a ratio of means; a score of
0 throughout makes it infinite. The data-set form is sum of costs / sum of scores over problems.
Never compare the two: the mean of per-problem values is infinite as soon as one problem is
unsolved, the data-set ratio is not.

Cost of an attempt = prompt tokens * price + completion tokens * price over ALL prompts of the
method; reasoning tokens are completion tokens. On own hardware: device hours * price + electricity.

Sources: Erol et al., arXiv 2504.13359, read in mhamzaerol/Cost-of-Pass @ 6eb78899bc64; data-set
form: Wang et al., arXiv 2508.02694 (its abstract, $0.398 to $0.228, contradicts its table, $0.285).

Fault of the reference code that is not followed: an unknown price is -1 per token in its client,
which makes costs negative (0 in OAgents, which makes them free). A negative price is refused here;
whoever does not know a price must not put 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.scores import _check

SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


def attempt_cost(
    prompt_tokens: float,
    completion_tokens: float,
    usd_per_prompt_token: float,
    usd_per_completion_token: float,
) -> float:
    """Return the price in USD of one attempt through an API billed by the token."""
    _check.number("prompt_tokens", prompt_tokens, least=0)
    _check.number("completion_tokens", completion_tokens, least=0)
    _check.number("usd_per_prompt_token", usd_per_prompt_token, least=0)
    _check.number("usd_per_completion_token", usd_per_completion_token, least=0)
    return float(
        prompt_tokens * usd_per_prompt_token + completion_tokens * usd_per_completion_token
    )


def run_cost(
    wall_s: float,
    devices: int,
    usd_per_device_hour: float,
    *,
    energy_j: float = 0.0,
    usd_per_kwh: float = 0.0,
) -> float:
    """Return the price in USD of a run on own hardware: hire or amortised price plus power."""
    _check.number("wall_s", wall_s, least=0)
    _check.whole("devices", devices, least=1)
    _check.number("usd_per_device_hour", usd_per_device_hour, least=0)
    _check.number("energy_j", energy_j, least=0)
    _check.number("usd_per_kwh", usd_per_kwh, least=0)
    hire = wall_s / SECONDS_PER_HOUR * devices * usd_per_device_hour
    return hire + energy_j / JOULES_PER_KWH * usd_per_kwh


def cost_of_pass(costs_usd: Sequence[float], scores: Sequence[float]) -> float:
    """Return the cost-of-pass in USD of one problem, from one entry per attempt; may be inf."""
    return _ratio_of_sums(costs_usd, scores)


def dataset_cost_of_pass(costs_usd: Sequence[float], scores: Sequence[float]) -> float:
    """Return the cost-of-pass in USD of a data set, from one entry per problem; may be inf.

    An entry is the mean over the problem's attempts.
    """
    return _ratio_of_sums(costs_usd, scores)


def _ratio_of_sums(costs_usd: Sequence[float], scores: Sequence[float]) -> float:
    _check.same_length("costs_usd", costs_usd, "scores", scores)
    spent = math.fsum(_check.numbers("costs_usd", costs_usd, least=0))
    passed = math.fsum(_check.numbers("scores", scores, least=0, most=1))
    return spent / passed if passed > 0 else math.inf
