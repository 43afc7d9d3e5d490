"""What the harness may rely on: verdicts, limits, groups, restarts, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import effmark
from effmark.cli.doctor_command import sandbox_findings
from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent
from effmark.sandbox import Job, JobResult, Level, Limits, Sandbox, capabilities
from effmark.sandbox import canary as canary_module
from effmark.sandbox.levels import choose_plan, layers_of, level_of
from effmark.sandbox.pool import pick_cores

HARNESS = str(Path(effmark.__file__).parents[1])


def missing_layers() -> str:
    found = {item.name: item for item in capabilities()}
    rooms = [found[name] for name in ("bubblewrap", "namespaces") if name in found]
    if any(room.present for room in rooms):
        return ""
    return "; ".join(
        f"no {item.name}: {item.detail}" for item in capabilities() if not item.present
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if reason := missing_layers():
        pytest.skip(reason)
    with Sandbox(2) as sandbox:
        yield sandbox


def test_a_driver_calls_the_solution_and_emits_what_it_returns(sandbox: Sandbox) -> None:
    driver = "for case in inputs: emit(repr(solution.double(case)))"
    result = sandbox.run(Job("def double(x): return 2 * x", driver, inputs=[1, "a", [2]]))
    assert result.status == "ok"
    assert result.values == ("2", "'aa'", "[2, 2]")


def test_a_program_without_a_driver_is_the_main_module(sandbox: Sandbox) -> None:
    code = "if __name__ == '__main__': print(input().upper(), inputs)"
    result = sandbox.run(Job(code, inputs=[1], stdin="größe\n"))
    assert (result.status, result.output) == ("ok", "GRÖSSE [1]\n")


def test_the_main_block_of_a_solution_does_not_run_under_a_driver(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("if __name__ == '__main__': print('main')", "emit('driver')"))
    assert (result.output, result.values) == ("", ("driver",))


@pytest.mark.parametrize(
    ("code", "status", "limit"),
    [
        ("1 / 0", "exception", None),
        ("def f(:", "exception", None),
        ("raise SystemExit(3)", "exception", None),
        ("raise SystemExit", "ok", None),
        ("import sys; sys.exit()", "ok", None),
        ("", "ok", None),
        ("x = 'x' * 10**12", "memory", "memory"),
        ("open('/etc/hostname', 'w')", "forbidden", None),
        ("\0", "exception", None),
        ("(" * 5000, "exception|memory", None),
    ],
)
def test_ways_to_end(sandbox: Sandbox, code: str, status: str, limit: str | None) -> None:
    result = sandbox.run(Job(code))
    assert result.status in status.split("|"), result.reason
    assert limit is None or result.limit == limit


def test_a_traceback_shows_the_code_of_the_job_and_nothing_of_ours(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("def f():\n    return 1 / 0\n", "solution.f()"))
    assert result.reason == "ZeroDivisionError: division by zero"
    assert "return 1 / 0" in result.output
    assert "effmark" not in result.output


def test_processor_time_has_its_own_limit(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("while True: pass", limits=Limits(wall_s=20.0, cpu_s=0.2)))
    assert (result.status, result.limit) == ("timeout", "cpu")
    assert 0.2 < result.cpu_s < 1.0


def test_waiting_is_not_billed_as_processor_time(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("import time; time.sleep(0.2)"))
    assert result.status == "ok"
    assert result.wall_s >= 0.2
    assert result.net_cpu_s() < 0.1


def test_work_in_threads_is_billed(sandbox: Sandbox) -> None:
    code = """
import threading
def work(): sum(range(2_000_000))
for _ in range(3): threading.Thread(target=work).start()
"""
    single = sandbox.run(Job("def work(): sum(range(2_000_000))\nwork()"))
    threaded = sandbox.run(Job(code))
    assert threaded.cpu_s > 2 * single.net_cpu_s()


def test_every_result_has_its_cost_and_that_of_an_empty_job(sandbox: Sandbox) -> None:
    result = sandbox.run(Job("x = bytearray(50_000_000)"))
    assert result.maxrss_b > 50_000_000
    assert 0 < result.overhead.cpu_s < 0.5
    assert result.net_cpu_s() <= result.cpu_s
    if isinstance(result.user_instructions, CounterAbsent):
        assert result.user_instructions.reason in ("not_present", "not_permitted", "not_supported")
        assert isinstance(result.net_instructions(), CounterAbsent)
    else:
        assert result.user_instructions > 0


def test_the_level_and_the_layers_are_in_the_result(sandbox: Sandbox) -> None:
    result = sandbox.run(Job(""))
    assert result.level == sandbox.level == "strong"
    assert result.layers == sandbox.layers
    assert {"job_namespaces", "seccomp", "rlimits", "private_tmpfs"} <= set(result.layers)


def test_results_come_in_the_order_of_the_jobs_and_are_heard_as_they_end(sandbox: Sandbox) -> None:
    heard: dict[int, JobResult] = {}
    jobs = [Job(f"import time; time.sleep({0.1 if i == 0 else 0}); emit({i})") for i in range(10)]
    results = sandbox.map(jobs, on_result=heard.__setitem__)
    assert [result.values for result in results] == [(str(i),) for i in range(10)]
    assert heard == dict(enumerate(results))
    assert next(iter(heard)) != 0


def test_a_group_shares_a_zygote_and_groups_share_the_workers(sandbox: Sandbox) -> None:
    slow = Job("import time; time.sleep(0.05)")
    groups = sandbox.map_groups([[slow] * 3 for _ in range(6)])
    for group in groups:
        assert len({(result.worker, result.zygote) for result in group}) == 1
    assert {group[0].worker for group in groups} == {0, 1}
    assert sandbox.map_groups([[], [Job("")]])[0] == []


def test_nothing_of_a_job_reaches_the_next_one(sandbox: Sandbox) -> None:
    first = "import builtins, math; builtins.left = math.left = 1; open('left', 'w').write('x')"
    second = """
import builtins, math, os
emit([hasattr(builtins, "left"), hasattr(math, "left"), os.listdir()])
"""
    assert sandbox.run_together([Job(first), Job(second)])[1].values == ("[False, False, []]",)


@pytest.mark.parametrize("program", ["26_walk_the", "27_crawl_the", "43_scan_the"])
def test_the_programs_that_look_for_a_secret_would_find_one(sandbox: Sandbox, program: str) -> None:
    path = next((Path(__file__).parent / "hostile").glob(f"{program}*.py"))
    result = sandbox.run(Job(path.read_text(), inputs="PLANTED-SECRET-654321"))
    assert result.status == "ok"
    assert result.values not in (("[]",), ("0",))


def test_a_large_input_and_a_large_value_arrive_whole(sandbox: Sandbox) -> None:
    numbers = list(range(200_000))
    job = Job("emit(sum(inputs)); emit('y' * 900_000)", inputs=numbers)
    result = sandbox.run(job)
    assert result.values == (str(sum(numbers)), "y" * 900_000)


def test_inputs_beyond_the_memory_limit_are_the_end_of_the_job_only(sandbox: Sandbox) -> None:
    job = Job("", inputs=list(range(1_000_000)), limits=Limits(memory_b=64 << 20))
    small, after = sandbox.run_together([job, Job("emit(1)")])
    assert small.status == "memory"
    assert after.values == ("1",)


def test_a_job_finds_the_modules_that_it_names_imported_and_no_others(sandbox: Sandbox) -> None:
    code = "import sys\nloaded = set(sys.modules)\nimport {}\nemit({!r} in loaded)"
    for name in ("math", "decimal", "hashlib", "statistics", "datetime"):
        assert sandbox.run(Job(code.format(name, name))).values == ("True",), name
    unnamed = "import sys\nemit('deci' + 'mal' in sys.modules)"
    assert sandbox.run(Job(unnamed)).values == ("False",)


def test_a_near_miss_is_run_once_more_alone(sandbox: Sandbox) -> None:
    near = Job("import time; time.sleep(1.4)", limits=Limits(wall_s=1.5))
    heard: list[int] = []
    results = sandbox.map([near, Job("")], on_result=lambda i, _: heard.append(i))
    assert [result.attempts for result in results] == [2, 1]
    assert sorted(heard) == [0, 0, 1]


def test_a_lost_zygote_costs_a_retry_and_is_never_scored() -> None:
    if reason := missing_layers():
        pytest.skip(reason)
    with Sandbox(1) as sandbox:

        def end_it(_: int, result: JobResult) -> None:
            process = sandbox._workers[0]._process
            if result.zygote == 1 and process is not None:
                process._child.kill()
                process._child.wait()

        jobs = [Job("emit(1)"), Job("emit(2)"), Job("emit(3)")]
        results = sandbox.map_groups([jobs], on_result=end_it)[0]
        assert [result.values for result in results] == [("1",), ("2",), ("3",)]
        assert [result.attempts for result in results] == [1, 2, 1]
        assert [result.zygote for result in results] == [1, 2, 2]


def test_all_zygotes_give_a_job_the_same_hashes_addresses_and_random_numbers() -> None:
    """What decides, besides the code, how many instructions it takes."""
    if reason := missing_layers():
        pytest.skip(reason)
    look = """
import random
things = [object() for _ in range(1000)]
emit([hash("effmark"), list({"a", "b", "c", "d"}), random.random()])
emit(id(things[0]))
"""
    seen = []
    for _ in range(2):
        with Sandbox(1) as sandbox:
            seen += [result.values for result in sandbox.map([Job(look)] * 3)]
    assert len({values[0] for values in seen}) == 1, seen
    addresses = [int(values[1]) for values in seen]
    assert max(addresses) - min(addresses) < 1 << 16, "the address layout is not fixed"


def test_a_folder_can_be_shown_to_jobs_and_nothing_beside_it(tmp_path: Path) -> None:
    if reason := missing_layers():
        pytest.skip(reason)
    shown, hidden = tmp_path / "shown", tmp_path / "hidden"
    for folder in (shown, hidden):
        folder.mkdir(mode=0o755)
        (folder / "checker.py").write_text("ANSWER = 42\n")
    code = f"""
import os, checker
emit(checker.ANSWER)
emit(os.path.exists({str(hidden)!r}) or os.access({str(shown)!r}, os.W_OK))
"""
    for room in ("bwrap", "namespaces"):
        if choose_plan_fails(room):
            continue
        with Sandbox(1, paths=[str(shown)], room=room) as sandbox:
            result = sandbox.run(Job(code))
            assert result.values == ("42", "False"), result.reason


def choose_plan_fails(room: str) -> bool:
    try:
        choose_plan("strong", allow_weak=False, room=room)
    except PrerequisiteError:
        return True
    return False


def test_weak_is_refused_unless_allowed_and_then_says_so() -> None:
    with pytest.raises(PrerequisiteError, match="--allow-weak-sandbox") as refusal:
        Sandbox(1, level="weak")
    assert refusal.value.exit_code == 3
    with Sandbox(1, level="weak", allow_weak=True) as sandbox:
        result = sandbox.run(Job("emit(sum(range(10)))"))
        assert result.values == ("45",)
        assert result.level == "weak"
        assert "unprivileged_uid" in result.layers
        assert "seccomp" not in result.layers


def test_a_gap_that_the_canary_finds_stops_the_start() -> None:
    plan = choose_plan(None, allow_weak=False)
    seen = {
        "uid": 65534,
        "pid": 1,
        "writable": [],
        "processes": False,
        "fork_refused": True,
        "socket_refused": True,
    }
    assert canary_module._gap_in(seen, plan) == ""
    for name, value in (("uid", 0), ("writable", ["/usr"]), ("fork_refused", False)):
        assert canary_module._gap_in({**seen, name: value}, plan) != ""


def test_levels_follow_from_the_layers() -> None:
    plan = choose_plan(None, allow_weak=True)
    full = replace(plan, container="bwrap", job_namespaces=True, filters=True, landlock_abi=7)
    assert level_of(full) == "strong"
    landlocked = replace(full, container="none", job_namespaces=False)
    assert level_of(landlocked) == "standard"
    assert level_of(replace(landlocked, landlock_abi=3)) == "weak"
    assert level_of(replace(landlocked, filters=False)) == "weak"
    assert "landlock_7" in layers_of(full, None)


def test_every_missing_capability_comes_with_a_remedy() -> None:
    for item in capabilities():
        assert item.present or (item.detail and item.remedy), item
        assert "\n" not in item.detail


def test_the_doctor_says_what_the_sandbox_has_and_what_would_help() -> None:
    found = {finding.subject: finding for finding in sandbox_findings()}
    assert found["sandbox"].mark in ("good", "better", "lacking")
    assert {finding.group for finding in found.values()} == {"code"}
    for finding in found.values():
        if finding.subject != "sandbox" and finding.mark != "good":
            assert finding.remedy, finding
    if sys.platform == "linux":
        assert {"ordinary user", "namespaces", "seccomp", "landlock"} <= found.keys()


def test_workers_get_different_cores_first() -> None:
    cores = pick_cores(None)
    assert len(set(cores)) == len(cores) >= 1
    assert set(pick_cores(1000)) == os.sched_getaffinity(0)


def test_importing_the_package_needs_no_linux_and_costs_no_import() -> None:
    code = """
import sys
sys.platform = "darwin"
import effmark.sandbox
from effmark.sandbox import Job, capabilities
found = capabilities()
assert [item.name for item in found] == ["platform"] and not found[0].present, found
assert "pydantic" not in sys.modules and "numpy" not in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": HARNESS}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


def test_a_root_that_starts_the_sandbox_leaves_the_kernel_as_it_was(sandbox: Sandbox) -> None:
    if os.getuid() != 0:
        pytest.skip("needs to be started by root")
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()
    looks = (
        "import os; emit(os.access('/proc/sys/kernel/core_pattern', os.W_OK)); emit(os.getuid())"
    )
    assert sandbox.run(Job(looks)).values == ("False", "65534")
    assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before


ORPHANS = """
import os, sys, time
from pathlib import Path
from effmark.sandbox import Job, Limits, Sandbox

def descendants(root):
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            rest = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(rest[1])
        except OSError:
            pass
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}

sandbox = Sandbox(1, level=sys.argv[1], room=sys.argv[2] if sys.argv[2] != "-" else None)
sandbox._workers[0].submit(Job("while True: pass", limits=Limits(wall_s=100.0)))
time.sleep(0.3)
print(*descendants(os.getpid()), flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize(
    ("level", "room"), [("strong", "bwrap"), ("strong", "namespaces"), ("standard", "-")]
)
def test_nothing_outlives_a_harness_that_is_killed(level: Level, room: str) -> None:
    try:
        choose_plan(level, allow_weak=False, room=None if room == "-" else room)
    except PrerequisiteError as error:
        pytest.skip(str(error))
    line = [sys.executable, "-c", ORPHANS, level, room]
    environment = {**os.environ, "PYTHONPATH": HARNESS}
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=environment, text=True) as harness:
        assert harness.stdout is not None
        pids = harness.stdout.readline().split()
        harness.kill()
    assert len(pids) >= 2
    alive = pids
    for _ in range(200):
        alive = [pid for pid in alive if Path(f"/proc/{pid}").exists()]
        if not alive:
            break
        time.sleep(0.05)
    assert alive == []
