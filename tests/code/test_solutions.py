"""Files of solutions: every accepted shape, and each bad line by its number."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from effmark.code.evaluation import make_tasks, usable_ks
from effmark.code.problems import ProblemSet
from effmark.code.solutions import read_solutions
from effmark.errors import SpecError


def write(folder: Path, text: bytes | str) -> Path:
    path = folder / "some.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_completions_and_whole_solutions_are_read_and_unknown_keys_ignored(tmp_path: Path) -> None:
    lines = [
        {"task_id": "a", "completion": "    return 1\n", "temperature": 0.2},
        {"task_id": "a", "completion": "    return 1\n"},
        {"task_id": "b", "solution": "def b(): pass"},
    ]
    samples = read_solutions(write(tmp_path, "\n".join(map(json.dumps, lines)) + "\n\n"))
    assert [(s.task_id, s.whole, s.line) for s in samples] == [
        ("a", None, 1), ("a", None, 2), ("b", True, 3),
    ]  # fmt: skip


def test_an_array_of_arrays_holds_the_samples_of_each_task(tmp_path: Path) -> None:
    samples = read_solutions(write(tmp_path, json.dumps([["x", "y"], [], ["z"]])))
    assert [(s.task_id, s.text) for s in samples] == [
        ("HumanEval/0", "x"), ("HumanEval/0", "y"), ("HumanEval/2", "z"),
    ]  # fmt: skip


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"task_id": "a", "completion": ""}'))
    assert read_solutions(path)[0].text == ""
    path.write_bytes(b"not gzip")
    with pytest.raises(SpecError, match="cannot be read"):
        read_solutions(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("body", ['{"task_id": "a", "completion": "é"}\n', '[["é"]]'])
def test_a_byte_order_mark_says_how_a_file_is_read(
    tmp_path: Path, encoding: str, body: str
) -> None:
    assert read_solutions(write(tmp_path, body.encode(encoding)))[0].text == "é"
    (tmp_path / "some.jsonl.gz").write_bytes(gzip.compress(body.encode(encoding)))
    assert read_solutions(tmp_path / "some.jsonl.gz")[0].text == "é"


def test_an_array_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="entry 0: must be an array of texts"):
        read_solutions(write(tmp_path, "[1]"))


GOOD = b'{"task_id": "a", "completion": ""}\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "2: not JSON"),
        (b"\xff\xfe", "2: not UTF-8: byte 0xff"),
        (b"5", "2: not an object, got int"),
        (b'{"completion": ""}', "2: task_id must be text, got None"),
        (b'{"task_id": "a"}', "2: neither 'completion' nor 'solution'"),
        (b'{"task_id": "a", "completion": 3}', "2: completion must be text, got int"),
        (b"[" * 200_000, "2: not"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, said: str) -> None:
    with pytest.raises(SpecError) as error:
        read_solutions(write(tmp_path, GOOD + line))
    assert f"some.jsonl:{said}" in str(error.value)


def test_an_empty_or_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no samples"):
        read_solutions(write(tmp_path, "\n"))
    with pytest.raises(SpecError, match="cannot be read"):
        read_solutions(tmp_path / "absent.jsonl")


def test_an_unknown_task_is_named_with_its_line(tmp_path: Path, toy: ProblemSet) -> None:
    path = write(tmp_path, '{"task_id": "total", "completion": ""}\n' + GOOD.decode())
    with pytest.raises(SpecError, match=r"some.jsonl:2: unknown task_id 'a'"):
        make_tasks(toy, read_solutions(path), path)


def test_only_k_that_every_problem_allows_are_given(tmp_path: Path, toy: ProblemSet) -> None:
    names = ["total"] * 10 + ["toy/divisor"] * 3
    path = write(tmp_path, "\n".join(f'{{"task_id": "{n}", "completion": ""}}' for n in names))
    tasks = make_tasks(toy, read_solutions(path), path)
    assert [(task.problem.id, len(task.samples)) for task in tasks] == [
        ("divisor", 3), ("total", 10),
    ]  # fmt: skip
    assert usable_ks(tasks, ()) == [1]
    assert usable_ks(tasks, (3, 2)) == [1, 2, 3]
    with pytest.raises(SpecError, match="--k 4: problem 'divisor' has 3 samples"):
        usable_ks(tasks, (4,))
