"""No adapter talks to the network or writes into the home folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from effmark.environment import WORKER_VARIABLES

WORK = """
import sys
from effmark.adapter import Generates, Generation, LoadRequest, Scores
from effmark.registry import adapter_class
request = LoadRequest.model_validate_json(sys.argv[2])
adapter_class(sys.argv[1]).prepare(request)
adapter = adapter_class(sys.argv[1])()
adapter.load(request)
if isinstance(adapter, Generates):
    generation = Generation(prompts=((5, 6, 7),), new_tokens=3)
    adapter.generate(generation, lambda ids: False)
if isinstance(adapter, Scores):
    adapter.log_probs([((5, 6), (7, 8))])
adapter.close()
print("done")
"""
CONNECT = re.compile(r"connect\(\d+, \{sa_family=AF_INET6?.*")
LOOPBACK = re.compile(r'"127\.\d+\.\d+\.\d+"|"::1"')


def test_a_request_makes_no_connection_and_leaves_nothing_at_home(
    adapter_name: str, loaded_cells: Any, tmp_path: Path
) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace on this machine; install it to watch the network")
    request = loaded_cells.first(adapter_name)
    home, trace = tmp_path / "home", tmp_path / "trace"
    home.mkdir()
    done = subprocess.run(
        [
            strace, "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect", "-o", str(trace),
            sys.executable, "-W", "ignore", "-c", WORK, adapter_name, request.model_dump_json(),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=_environment(home),
        check=False,
    )  # fmt: skip
    if "ptrace" in done.stderr and not trace.read_text():
        pytest.skip("this machine does not let strace watch processes")
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr[-2000:]
    connections = CONNECT.findall(trace.read_text())
    assert [c for c in connections if not LOOPBACK.search(c)] == []
    assert sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()) == []


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HF_"))}
    return {**kept, **WORKER_VARIABLES, "HOME": str(home)}
