"""What YAML does behind one's back is refused in one line with the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from effmark.code.prices import read_prices
from effmark.errors import SpecError
from effmark.strict_yaml import parse_yaml
from effmark.suites import load_suite
from effmark.task_files import read_task

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
DEEP = "[" * 5000 + "]" * 5000
FAULTS = [
    (f"suite: x\n{BOMB}", 6, "more than 20000 values, those of aliases included"),
    ("suite: x\nm: &m {k: v}\n" + "z: {<<: [" + "*m, " * 30_000 + "*m]}", 3, "more than 20000"),
    ("suite: x\nversion: 2026-11-20", 2, "'2026-11-20' is a date to YAML"),
    ("suite: x\nwhen: 2026-13-45", 2, "'2026-13-45' is a date to YAML"),
    ("suite: x\n2026-11-20: y", 2, "'2026-11-20' is a date to YAML"),
    (f"suite: x\nversion: {DEEP}", 2, "nested too deeply"),
    ("suite: x\n" + "".join(f"{' ' * n}k:\n" for n in range(3000)), 21, "nested too deeply"),
    ("suite: x\nversion: &v [*v]", 2, "nested too deeply; is it its own anchor?"),
    ("suite: x\nversion: !!int abc", 2, "'abc' is no whole number"),
    ("suite: x\nversion: !!int ''", 2, "'' is no whole number"),
    ("suite: x\nversion: !!float abc", 2, "'abc' is no number"),
    ("suite: x\nversion: !!bool maybe", 2, "'maybe' is neither true nor false"),
    ("suite: x\nversion: !!binary '%'", 2, "!!binary is not taken"),
    (f"suite: x\nversion: {'9' * 5000}", 2, "a whole number of 5000 digits"),
    (f"suite: x\nversion: 0x{'1' * 30}", 2, "a whole number of 31 digits"),
    (f"suite: x\nversion: 0x{'a' * 6000}", 2, "'0xaaa"),
    ("suite: x\nsuite: y", 2, "key 'suite' stands twice"),
    ("suite: x\nmap: {a: 1, a: 2}", 2, "key 'a' stands twice"),
    ("suite: x\n[1, 2]: y", 2, "a key must be a word"),
    ("suite: x\nwhy: a\x07b", 2, "not YAML: special characters are not allowed"),
    ("suite: x\n---\nsuite: y", 2, "not YAML"),
    ("suite: x\nwhy: !!python/object:os.system {}", 2, "not YAML: could not determine"),
    ("suite: x\nwhy: *nobody", 2, "not YAML: found undefined alias"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "said"), FAULTS)
def test_what_is_surprising_is_one_line_with_the_place(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    for read in (load_suite, read_task, read_prices):
        with pytest.raises(SpecError) as refused:
            read(path)
        sentence = str(refused.value)
        assert f"{path}'"[:-1] in sentence
        assert f":{line}: {said}" in sentence
        assert "\n" not in sentence
        assert len(sentence) < 400


def test_the_same_holds_for_overrides(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("suite: x\nversion: 1\n")
    for value, said in (
        ("2026-01-01", "a date"),
        ("!!int abc", "no whole"),
        ("9" * 400, "400 digits"),
        (f"-0x{'c' * 5000}", "has more than 18 digits"),
    ):
        with pytest.raises(SpecError, match=rf"override 'version={value[:6]}.*{said}") as refused:
            load_suite(path, overrides=[f"version={value}"])
        assert len(str(refused.value)) < 400
    with pytest.raises(SpecError, match="'²' is no position"):
        load_suite(path, overrides=["models=[a]", "models.²=b"])


def test_usual_yaml_is_read_with_the_line_of_each_part() -> None:
    found = parse_yaml("a: &x {k: [1, 0x10, 2.5, true, ~]}\nb: {<<: *x, l: '2026-11-20'}\n", "here")
    assert found.data["a"] == {"k": [1, 16, 2.5, True, None]}
    assert found.data["b"] == {"k": [1, 16, 2.5, True, None], "l": "2026-11-20"}
    assert (found.lines["a", "k", 2], found.lines["b", "l"]) == (1, 2)
    assert parse_yaml("", "here").data is None


def test_a_sweep_of_millions_of_workloads_is_refused(tmp_path: Path) -> None:
    path, many = tmp_path / "s.yaml", list(range(1, 200))
    path.write_text(
        "suite: x\nversion: 1\nwhy: w\nmodels: [default]\n"
        "cells: [{adapter: torch, precision: fp32}]\n"
        f"workloads:\n  - decode: {{batch: {many}, prompt_tokens: {many}, new_tokens: {many}}}\n"
    )
    with pytest.raises(SpecError, match=r"s\.yaml:6: workloads.*7880599 combinations"):
        load_suite(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_suite_with_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("suite: x\nversion: 0\n", encoding=encoding)
    with pytest.raises(SpecError, match=r"s\.yaml:\d: [a-z]+: "):
        load_suite(path)
