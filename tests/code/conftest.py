"""A sandbox for the tests of a module, and a problem set of two problems, made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from effmark.code.problems import ProblemSet, load_folder
from effmark.errors import PrerequisiteError
from effmark.sandbox import Sandbox

SET = """\
name: toy
version: 3
seed: 1
hardness: [0, 1, 2]
references: [naive, expert]
"""
TOTAL = '''\
"""The sum of the numbers below n."""

from random import Random
from typing import Any

TECHNIQUE = "arithmetic"
ENTRY_POINT = "total"
CHECK = "exact"
PROMPT = """\\
def total(n: int) -> int:
    \\"\\"\\"Return the sum of the whole numbers below n.\\"\\"\\"
"""


def generate(level: int, rng: Random) -> list[list[Any]]:
    return [[0], [1], [7]] if level == 0 else [[level * 20_000], [level * 30_000]]


def naive(n: int) -> int:
    found = 0
    for _ in range(20):
        found = 0
        for i in range(n):
            found += i
    return found


def expert(n: int) -> int:
    return sum(range(n))
'''
DIVISOR = '''\
"""Any proper divisor."""

from random import Random
from typing import Any

TECHNIQUE = "number theory"
ENTRY_POINT = "divisor"
CHECK = "program"
PROMPT = """\\
def divisor(n: int) -> int:
    \\"\\"\\"Return a divisor of n other than 1 and n.\\"\\"\\"
"""


def generate(level: int, rng: Random) -> list[list[Any]]:
    return [[12], [35]] if level == 0 else [[level * 40_009 * 2]]


def check(args: list[Any], expected: Any, output: Any) -> bool:
    return type(output) is int and 1 < output < args[0] and args[0] % output == 0


def naive(n: int) -> int:
    return [d for d in range(2, n) if n % d == 0][0]


def expert(n: int) -> int:
    found = [d for d in range(2, n // 2 + 1) if n % d == 0]
    return found[0]
'''


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "set.yaml").write_text(SET)
    (folder / "total.py").write_text(TOTAL)
    (folder / "divisor.py").write_text(DIVISOR)
    return folder


@pytest.fixture(scope="session")
def toy(toy_folder: Path) -> ProblemSet:
    return load_folder(toy_folder)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        made = Sandbox(1)
    except PrerequisiteError as error:
        pytest.skip(str(error))
    with made:
        yield made
