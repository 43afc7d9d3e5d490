"""Every hostile program, in every kind of sandbox that this machine has, started by root and not.

The programs run in a process of their own (`run_hostile.py`), all kinds at the same time; the
tests only read its report. No program ever runs outside a sandbox, or with user id 0.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import effmark
from effmark.sandbox import capabilities
from effmark.sandbox.worker import interpreter

HERE = Path(__file__).parent
PROGRAMS = sorted(path.stem for path in (HERE / "hostile").glob("[0-9]*.py"))
HARNESS = str(Path(effmark.__file__).parents[1])
ORDINARY_USER = 12345
KINDS = {
    "root-bwrap": ("root", "strong", "bwrap"),
    "root-own-room": ("root", "strong", "namespaces"),
    "user-own-room": ("user", "strong", "namespaces"),
    "user-standard": ("user", "standard", "-"),
}
NEEDED = {"bwrap": "bubblewrap", "namespaces": "namespaces", "-": "landlock"}

# Makes the interpreter and the sources readable for the ordinary user, then becomes that user.
AS_ORDINARY_USER = """
import os, sys
from effmark.sandbox.identity import make_reachable
user, prefix, python, harness, tests, *rest = sys.argv[1:]
found = make_reachable([prefix, harness, tests])
os.setgroups([])
os.setresgid(int(user), int(user), int(user))
os.setresuid(int(user), int(user), int(user))
python = python.replace(prefix, found[prefix], 1)
environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": found[harness]}
environment |= {"PYTHONHOME": found[prefix], "LD_LIBRARY_PATH": found[prefix] + "/lib"}
script = found[tests] + "/run_hostile.py"
os.execve(python, [python, "-s", "-S", script, found[tests] + "/hostile", *rest], environment)
"""


def why_not(kind: str) -> str:
    """Return why a kind of sandbox cannot be tried here, or nothing."""
    starter, _, room = KINDS[kind]
    if starter == "root" and os.getuid() != 0:
        return "needs to be started by root"
    found = {item.name: item for item in capabilities()}
    missing = [found[name] for name in (NEEDED[room], "seccomp") if not found[name].present]
    return "; ".join(f"no {item.name}: {item.detail}" for item in missing)


def command(kind: str) -> list[str]:
    """Return the command line that runs all programs in one kind of sandbox."""
    starter, level, room = KINDS[kind]
    if starter == "root" or os.getuid() != 0:
        script = [str(HERE / "run_hostile.py"), str(HERE / "hostile")]
        return [sys.executable, *script, level, room]
    python, prefix = interpreter()
    become = [sys.executable, "-c", AS_ORDINARY_USER, str(ORDINARY_USER), prefix, python]
    return [*become, HARNESS, str(HERE), level, room]


@pytest.fixture(scope="module")
def reports() -> Iterator[dict[str, Any]]:
    """Start the programs in all kinds of sandbox at once; give the processes, then the reports."""
    environment = {**os.environ, "PYTHONPATH": HARNESS}
    started = {
        kind: subprocess.Popen(
            command(kind),
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for kind in KINDS
        if not why_not(kind)
    }
    yield dict(started)
    for process in started.values():
        process.kill()
        process.communicate()


def report_of(reports: dict[str, Any], kind: str) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of one kind by program; wait for them the first time."""
    if reason := why_not(kind):
        pytest.skip(reason)
    if isinstance(reports[kind], subprocess.Popen):
        stdout, stderr = reports[kind].communicate(timeout=300)
        status, reports[kind] = reports[kind].returncode, {}
        assert status == 0, stdout[-2000:] + stderr[-2000:]
        lines = [json.loads(line) for line in stdout.splitlines()]
        found: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            found.setdefault(line["program"], []).append(line)
        reports[kind] = found
    finished: dict[str, list[dict[str, Any]]] = reports[kind]
    return finished


def expectation(program: str) -> dict[str, Any]:
    first = (HERE / "hostile" / f"{program}.py").read_text().splitlines()[0]
    statuses, *rest = first.removeprefix("# expect: ").split("; ")
    named = dict(part.split(": ", 1) for part in rest)
    return {"statuses": statuses.split("|"), **{k: json.loads(v) for k, v in named.items()}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_hostile_program_is_contained_and_the_sandbox_goes_on(
    reports: dict[str, Any], program: str, kind: str
) -> None:
    expected = expectation(program)
    for line in report_of(reports, kind)[program]:
        assert line["status"] in expected["statuses"], line
        assert line["values"] == expected.get("values", line["values"]), line
        assert line["output"] == expected.get("output", line["output"]), line
        assert line["cpu_s"] >= expected.get("min_cpu_s", 0.0), line
        assert line["output_b"] <= 64 * 1024
        assert line["canary"] == ["ok", "ok\n", "[]"], "the next job did not find a clean sandbox"
        assert line["attempts"] == 1, "a worker was lost"
        assert line["changed"] == [], "the host is not as it was"
        assert line["harness_maxrss_b"] < 128 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_the_level_and_the_layers_are_part_of_every_result(
    reports: dict[str, Any], kind: str
) -> None:
    for lines in report_of(reports, kind).values():
        for line in lines:
            assert line["level"] == KINDS[kind][1]
            assert {"unprivileged_uid", "rlimits", "seccomp"} <= set(line["layers"])
            assert ("job_namespaces" in line["layers"]) == (line["level"] == "strong")


def test_the_list_of_hostile_programs_is_complete() -> None:
    assert [int(name.split("_")[0]) for name in PROGRAMS] == list(range(1, 46))
