"""Hand-made edge cases of every function, in exact arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from effmark import scores

Oracles = Callable[[str], Any]


def decoded(value: Any) -> Any:
    """Return an argument of the contract file as the Python value it stands for."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$number" in value:
        return float(value["$number"])
    if "$config" in value:
        return scores.architecture_from_config(value["$config"])
    if "$call" in value:
        name, args, kwargs = value["$call"]
        return getattr(scores, name)(*decoded(args), **decoded(kwargs))
    if "$intkeys" in value:
        return {int(key): decoded(item) for key, item in value["$intkeys"].items()}
    return {key: decoded(item) for key, item in value.items()}


def same(got: Any, expected: Any) -> bool:
    """Return whether a result is the expected one, to 1e-9 relative."""
    if expected is None or isinstance(expected, bool | str):
        return math.inf == got if expected == "inf" else bool(got == expected)
    if isinstance(expected, int | float):
        return got is not None and math.isclose(got, expected, rel_tol=1e-9)
    if isinstance(expected, dict):
        return set(got) == set(expected) and all(same(got[k], expected[k]) for k in expected)
    return len(got) == len(expected) and all(map(same, got, expected))


def fields_match(got: Any, expected: Mapping[str, Any]) -> bool:
    return all(same(getattr(got, name), value) for name, value in expected.items())


def items_match(got: Any, expected: Mapping[str, Any]) -> bool:
    def at(key: str) -> Any:
        return got[key] if isinstance(got, dict) else got[int(key)]

    return all(fields_match(at(key), fields) for key, fields in expected.items())


def indices_match(case: Mapping[str, Any], got: Sequence[Sequence[int]]) -> bool:
    n, size, repetitions = case["args"]
    again = scores.bootstrap_indices(n, size, repetitions, **case["kwargs"])
    other = scores.bootstrap_indices(n, size, repetitions, seed=case["kwargs"]["seed"] + 1)
    shape = len(got) == repetitions and all(len(row) == size for row in got)
    drawn = {index for row in got for index in row}
    return shape and drawn == set(range(n)) and got == again and got != other


def fault(case: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the answer to one case."""
    function = getattr(scores, case["function"])
    expect = case["expect"]
    try:
        got = function(*decoded(case["args"]), **decoded(case.get("kwargs", {})))
    except ValueError as error:
        if "raises" in expect and expect.get("names", "") in str(error):
            return None
        return f"raised {error}"
    if "raises" in expect:
        return f"no ValueError but {got!r}"
    if "value" in expect:
        right = same(got, expect["value"])
    elif "fields" in expect:
        right = fields_match(got, expect["fields"])
    elif "items" in expect:
        right = items_match(got, expect["items"])
    else:
        right = indices_match(case, got)
    return None if right else f"{got!r} is not {expect!r}"


def test_every_case_of_the_contract_holds(oracles: Oracles) -> None:
    cases = oracles("contract")["cases"]
    found = [(case["function"], case["kind"], fault(case)) for case in cases]
    assert [row for row in found if row[2] is not None] == []
    assert len(found) >= 276


def test_every_function_of_the_contract_is_public(oracles: Oracles) -> None:
    named = {case["function"] for case in oracles("contract")["cases"]}
    assert named <= set(scores.__all__)


@pytest.mark.parametrize("bad", [math.nan, math.inf, None, "many", 10**400])
def test_what_is_no_finite_number_is_a_value_error(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"energy_j must be .*, got"):
        scores.joules_per_token(bad, 1)
