"""What the help of a command promises is what it does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def test_run_json_prints_a_record_per_cell_those_measured_before_included(
    effmark: Command, toy: Path
) -> None:
    assert "those measured before included" in " ".join(effmark("run", "--help").stdout.split())
    first = effmark("run", str(toy), "--only", "fp32", "--json")
    both = effmark("run", str(toy), "--json")
    assert [len(done.stdout.splitlines()) for done in (first, both)] == [3, 6]
    ids = {json.loads(line)["id"] for line in both.stdout.splitlines()}
    assert {json.loads(line)["id"] for line in first.stdout.splitlines()} < ids


def test_an_override_that_is_wrong_is_named_by_the_command(effmark: Command, toy: Path) -> None:
    done = effmark("plan", str(toy), "budget.process_s=never")
    assert done.returncode == 2
    assert done.stderr.startswith("effmark: override 'budget.process_s=never': budget.process_s: ")
    assert "toy.yaml" not in done.stderr
