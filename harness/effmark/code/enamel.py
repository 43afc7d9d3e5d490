"""Problem files of ENAMEL: graded inputs for HumanEval's tasks, made from seeds.

Columns `task_id, prompt, input_generator, input_levels, reference_solution, checker, entry_point`;
generators, references and checkers are foreign code and run only in the sandbox. Case `case` of
row i is seeded with ``998244353 ^ i ^ running case index``. Of the 164 rows 142 are scored, as by
the authors. Unlike there, a solution may print.

Source: Qiu et al., ICLR 2025, arXiv 2406.06647; read in q-rz/enamel @ b97da79c779b.
"""

from __future__ import annotations

import csv
import hashlib
import io
from importlib.resources import files
from itertools import accumulate
from pathlib import Path

from effmark.code.problems import Problem, ProblemSet
from effmark.errors import SpecError
from effmark.regular_files import given_bytes
from effmark.strict_json import decoded_text

__all__ = ["load_enamel"]

SEED = 998244353
CASES = (8, 4, 4, 4)
HARDNESS = (0, 3, 3, 4)
LEFT_OUT = frozenset(
    (
        *(2, 23, 41, 45, 53, 60, 71, 92, 97, 99, 102),
        *(123, 124, 135, 137, 138, 144, 148, 156, 157),
        *(159, 160),
    )
)
_COLUMNS = ("task_id", "prompt", "input_generator", "input_levels", "reference_solution",
            "checker", "entry_point")  # fmt: skip
_LONGEST_CELL = 1 << 24
_CASES = """

def effmark_cases(level):
    size, seeds = %r[level]
    for case, seed in enumerate(seeds):
        random.seed(seed)
        yield generate_input(size=size, lid=level, cid=case)
"""
_CHECK = """

def effmark_check(args, expected, output):
    return bool(__check(tuple(args), expected, output))
"""


def load_enamel(path: Path) -> ProblemSet:
    """Return the problems of an ENAMEL file that its authors score.

    Raises:
        SpecError: the file is not one; the row is named.
    """
    what = f"problem set {str(path)!r}"
    text = decoded_text(given_bytes(path, "problem set"), what)
    try:
        csv.field_size_limit(_LONGEST_CELL)
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise SpecError(f"{what} cannot be read: {error}") from error
    if not rows or set(_COLUMNS) - set(rows[0]):
        raise SpecError(f"problem set {str(path)!r}: not ENAMEL: needs columns {_COLUMNS}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    problems = [_problem(i, row, path) for i, row in enumerate(rows) if i not in LEFT_OUT]
    left_out = {rows[i]["task_id"]: "ENAMEL does not score it" for i in LEFT_OUT if i < len(rows)}
    return ProblemSet(
        "enamel", digest[:12], digest, str(path), {p.id: p for p in problems}, left_out
    )


def _problem(number: int, row: dict[str, str], path: Path) -> Problem:
    try:
        sizes = [int(size) for size in row["input_levels"].split()]
    except (ValueError, AttributeError) as error:
        raise SpecError(f"{path}: row {number}: input_levels: {error}") from error
    if len(sizes) != len(CASES):
        raise SpecError(f"{path}: row {number}: {len(sizes)} sizes, {len(CASES)} are needed")
    starts = [0, *accumulate(CASES)]
    plan = [
        (size, [SEED ^ number ^ (start + case) for case in range(count)])
        for size, start, count in zip(sizes, starts, CASES, strict=False)
    ]
    prelude = files("effmark.code").joinpath("enamel_inputs.py").read_text(encoding="utf-8")
    return Problem(
        id=row["task_id"],
        entry_point=row["entry_point"],
        prompt=row["prompt"],
        reference=f"{row['prompt']}\n{row['reference_solution']}",
        shown="repr",
        checker=f"{row['prompt']}\n    pass\n{row['checker']}" + _CHECK,
        generator=f"{prelude}\n{row['prompt']}\n    pass\n{row['input_generator']}" + _CASES % plan,
        hardness=HARDNESS,
    )
