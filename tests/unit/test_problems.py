from __future__ import annotations

import ast
import doctest
import json
import math
import re
import runpy
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GAPS = runpy.run_path(str(ROOT / "scripts/problem_gaps.py"))
FOLDER: Path = GAPS["FOLDER"]
SET: dict[str, Any] = yaml.safe_load((FOLDER / "set.yaml").read_text(encoding="utf-8"))
PATHS = sorted(FOLDER.glob("*.py"))
LEVELS = range(len(SET["hardness"]))
ALLOWED = {"bisect", "collections", "heapq", "itertools", "math", "operator", "random", "typing"}

every_problem = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def is_same(first: Any, second: Any) -> bool:
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(is_same, first, second))
    return bool(first == second)


def is_right(problem: dict[str, Any], args: list[Any], expected: Any, output: Any) -> bool:
    if problem["CHECK"] == "program":
        verdict = problem["check"](args, expected, output)
        assert isinstance(verdict, bool)
        return verdict
    if problem["CHECK"] == "close":
        return isinstance(output, int | float) and math.isclose(output, expected, rel_tol=1e-9)
    return is_same(output, expected)


def run(solution: Any, case: str) -> Any:
    return json.loads(json.dumps(solution(*json.loads(case)), allow_nan=False))


def references_agree(problem: dict[str, Any], level: int) -> None:
    for case in GAPS["cases"](problem, level):
        expected = run(problem["expert"], case)
        for name in SET["references"]:
            output = run(problem[name], case)
            assert is_right(problem, json.loads(case), expected, output), (name, level, case[:200])


def reference_program(text: str, name: str, entry_point: str) -> str:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    scope: dict[str, Any] = {"ast": ast}
    exec(blocks[0], scope)
    return str(scope["reference_program"](text, name, entry_point))


def test_there_are_enough_problems_of_enough_kinds() -> None:
    assert len(PATHS) >= 28
    assert len({GAPS["load"](path)["TECHNIQUE"] for path in PATHS}) >= 24


def test_the_readme_says_how_many_problems_there_are() -> None:
    assert "Thirty-six problems" in (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(PATHS) == 36


@every_problem
def test_what_the_harness_reads_is_literal(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    literals: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("TECHNIQUE", "ENTRY_POINT", "PROMPT", "CHECK"):
                literals[name] = ast.literal_eval(node.value)
    assert ast.get_docstring(tree)
    assert set(literals) == {"TECHNIQUE", "ENTRY_POINT", "PROMPT", "CHECK"}
    assert all(isinstance(value, str) and value for value in literals.values())
    assert literals["CHECK"] in ("exact", "close", "program")
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    extra = {"check"} if literals["CHECK"] == "program" else set()
    assert functions == {"generate", *SET["references"], *extra}


@every_problem
def test_a_problem_imports_only_the_standard_library(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assert not isinstance(node, ast.Import)
        if isinstance(node, ast.ImportFrom):
            assert node.module in ALLOWED


@every_problem
def test_the_prompt_is_the_head_of_a_function_whose_examples_hold(path: Path) -> None:
    problem = GAPS["load"](path)
    prompt = problem["PROMPT"]
    assert prompt.endswith('    """\n')
    (function,) = ast.parse(prompt + "    return None\n").body
    assert isinstance(function, ast.FunctionDef)
    assert function.name == problem["ENTRY_POINT"]
    examples = doctest.DocTestParser().get_examples(ast.get_docstring(function) or "")
    assert examples
    for name in SET["references"]:
        reference = problem[name]
        for example in examples:
            output = eval(example.source, {problem["ENTRY_POINT"]: reference})
            expected = ast.literal_eval(example.want)
            call = ast.parse(example.source, mode="eval").body
            assert isinstance(call, ast.Call)
            args = [ast.literal_eval(arg) for arg in call.args]
            assert is_right(problem, args, expected, json.loads(json.dumps(output)))


@every_problem
def test_the_references_have_the_signature_of_the_prompt(path: Path) -> None:
    problem = GAPS["load"](path)
    scope: dict[str, Any] = {}
    exec(compile(problem["PROMPT"], path.name, "exec", dont_inherit=True), scope)
    wanted = scope[problem["ENTRY_POINT"]].__annotations__
    for name in SET["references"]:
        assert list(problem[name].__annotations__.items()) == list(wanted.items())


@every_problem
@pytest.mark.parametrize("level", [0, 1])
def test_the_references_agree(path: Path, level: int) -> None:
    references_agree(GAPS["load"](path), level)


@pytest.mark.slow
@every_problem
def test_the_references_agree_on_large_inputs(path: Path) -> None:
    for level in LEVELS[2:]:
        references_agree(GAPS["load"](path), level)


@every_problem
def test_a_wrong_output_is_rejected(path: Path) -> None:
    problem = GAPS["load"](path)
    for level in (0, 1):
        for case in GAPS["cases"](problem, level):
            args = json.loads(case)
            expected = run(problem["expert"], case)
            assert is_right(problem, args, expected, expected)
            wrong: list[Any] = [None, "no", {}, [None], [[]], True, [-7], -7, 1e308]
            if isinstance(expected, int | float):
                wrong += [expected + 1, -expected - 1, expected + 0.001]
            if isinstance(expected, list):
                wrong += [[*expected, 0], [0, *expected], expected[:-1] if expected else [1]]
                wrong += [[expected], dict(enumerate(expected))]
            for output in wrong:
                if output != expected or isinstance(output, bool):
                    assert not is_right(problem, args, expected, output), (case[:200], output)


@every_problem
def test_the_inputs_depend_on_the_seed_alone(path: Path) -> None:
    problem = GAPS["load"](path)
    for level in LEVELS[:3]:
        first = problem["generate"](level, Random("a"))
        text = json.dumps(first, allow_nan=False)
        assert text == json.dumps(GAPS["load"](path)["generate"](level, Random("a")))
        assert json.loads(text) == first
        assert len(first) == (8 if level == 0 else 4)
        if level:
            assert text != json.dumps(problem["generate"](level, Random("b")))


@every_problem
def test_a_level_is_larger_than_the_one_before(path: Path) -> None:
    problem = GAPS["load"](path)
    calls = [sum(_lines_run(problem["good"], case) for case in _some(problem, n)) for n in (0, 1)]
    assert calls[1] > 2 * calls[0]


def _some(problem: dict[str, Any], level: int) -> list[str]:
    cases: list[str] = GAPS["cases"](problem, level)
    return cases[-4:]


def _lines_run(solution: Any, case: str) -> int:
    count = 0

    def trace(frame: Any, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        solution(*json.loads(case))
    finally:
        sys.settrace(before)
    return count


@every_problem
def test_a_reference_runs_as_a_submission_of_its_own(path: Path) -> None:
    problem = GAPS["load"](path)
    for name in SET["references"]:
        text = path.read_text(encoding="utf-8")
        scope: dict[str, Any] = {}
        exec(reference_program(text, name, problem["ENTRY_POINT"]), scope)
        for case in GAPS["cases"](problem, 0):
            expected = run(problem["expert"], case)
            output = run(scope[problem["ENTRY_POINT"]], case)
            assert is_right(problem, json.loads(case), expected, output)


def test_any_valid_build_order_is_right_and_no_other() -> None:
    problem = GAPS["load"](FOLDER / "build_order.py")
    args = [4, [[1, 0], [2, 0], [3, 1], [3, 2]]]
    for order in ([0, 1, 2, 3], [0, 2, 1, 3]):
        assert problem["check"](args, [0, 1, 2, 3], order)
    for order in ([], [0, 1, 3, 2], [0, 1, 2], [0, 1, 2, 2], [False, 1, 2, 3], [0, 1, 2, 3, 4]):
        assert not problem["check"](args, [0, 1, 2, 3], order)
    assert problem["check"]([1, [[0, 0]]], [], [])
    assert not problem["check"]([1, [[0, 0]]], [], [0])


def test_any_longest_stretch_is_right_and_no_other() -> None:
    problem = GAPS["load"](FOLDER / "longest_without_repeat.py")
    args = [[1, 2, 1, 2, 2]]
    for stretch in ([0, 2], [1, 3], [2, 4]):
        assert problem["check"](args, [0, 2], stretch)
    for wrong in ([0, 3], [3, 5], [0, 1], [-2, 0], [4, 6], [2, 0], [0.0, 2], [True, 3]):
        assert not problem["check"](args, [0, 2], wrong)


@pytest.mark.slow
@every_problem
def test_naive_costs_more_than_good_and_good_no_less_than_expert(path: Path) -> None:
    problem = GAPS["load"](path)
    with GAPS["best_clock"]() as (unit, clock):
        level = GAPS["LARGEST_LEVEL"]
        naive, good, expert = (GAPS["cost"](problem, n, level, clock) for n in SET["references"])
    # CPU seconds on a busy machine are allowed to be off by a tenth, instructions are not.
    slack = 1.0 if unit == "user instructions" else 0.9
    assert naive > good >= slack * expert
    assert naive >= 5 * expert
