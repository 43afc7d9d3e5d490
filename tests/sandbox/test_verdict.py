from __future__ import annotations

import json
from typing import Any

from effmark.sandbox.job import Limits, printable
from effmark.sandbox.protocol import LAST_WORD, VALUE, Splitter, chunk
from effmark.sandbox.verdict import Verdict, decide, is_doubtful, values_of

LIMITS = Limits(wall_s=2.0, cpu_s=1.0)
OK = chunk(LAST_WORD, b'{"status": "ok"}')


def facts(**changes: Any) -> dict[str, Any]:
    usual = {"stopped": None, "setup_error": None, "exit": 0, "wall_s": 0.1, "cpu_s": 0.1}
    return {**usual, **changes}


def status(
    stream: bytes = OK, limits: Limits = LIMITS, *, oom: bool = False, **changes: Any
) -> str:
    verdict = decide(facts(**changes), stream, limits, oom_killed=oom)
    return verdict.status if verdict.limit is None else f"{verdict.status}/{verdict.limit}"


def test_the_facts_of_the_kernel_come_before_the_words_of_the_job() -> None:
    assert status() == "ok"
    assert status(stopped="wall") == "timeout/wall"
    assert status(stopped="cpu") == "timeout/cpu"
    assert status(stopped="output") == "output_limit/output"
    assert status(exit=-11) == "crash:SIGSEGV"
    assert status(exit=-31) == "forbidden"
    assert status(exit=-9) == "crash:SIGKILL"
    assert status(exit=-9, oom=True) == "memory/memory"
    assert status(setup_error="OSError: mount") == "sandbox_lost"


def test_a_job_that_ended_over_its_limit_timed_out_even_if_nobody_stopped_it() -> None:
    assert status(cpu_s=1.01) == "timeout/cpu"
    assert status(wall_s=2.01) == "timeout/wall"
    counted = Limits(instructions=1000)
    assert status(limits=counted, instructions=1001) == "timeout/instructions"
    assert status(limits=counted, instructions=1000) == "ok"


def test_a_job_without_a_last_word_is_never_ok() -> None:
    assert status(b"") == "no_output"
    assert status(OK[:-1]) == "no_output"
    assert status(b"", exit=3) == "exception"


def test_a_last_word_that_contradicts_the_exit_status_is_not_believed() -> None:
    assert status(OK, exit=1) == "no_output"
    assert status(chunk(LAST_WORD, b'{"status": "exception"}')) == "no_output"


def test_a_last_word_of_any_shape_gives_a_verdict() -> None:
    for word in (b"", b"[]", b"1", b"{}", b'"ok"', b'{"status": []}', b"[" * 100_000, b"\xff"):
        assert status(chunk(LAST_WORD, word)) == "no_output"


def test_a_job_cannot_claim_that_the_sandbox_was_lost() -> None:
    word = json.dumps({"status": "sandbox_lost"}).encode()
    assert status(chunk(LAST_WORD, word), exit=1) == "no_output"


def test_values_are_read_up_to_the_first_torn_record() -> None:
    stream = chunk(VALUE, b"one") + chunk(VALUE, "zwö".encode()) + chunk(VALUE, b"\xff")
    assert values_of(stream) == ("one", "zwö", "\\xff")
    assert values_of(stream + b"v\x7f\xff\xff\xff torn") == ("one", "zwö", "\\xff")


def test_chunks_are_found_however_the_bytes_arrive() -> None:
    stream = chunk(b"O", b"hello") + chunk(b"E", b"")
    splitter = Splitter()
    found = [part for i in range(len(stream)) for part in splitter.feed(stream[i : i + 1])]
    assert found == [(b"O", b"hello"), (b"E", b"")]


def doubtful(**changes: Any) -> bool:
    seen = facts(**changes)
    return is_doubtful(seen, decide(seen, OK, LIMITS, oom_killed=False), LIMITS)


def test_near_misses_on_both_sides_are_doubtful_and_clear_cases_are_not() -> None:
    assert not doubtful()
    assert doubtful(cpu_s=0.95)
    assert doubtful(cpu_s=1.05)
    assert doubtful(wall_s=1.9)
    assert not doubtful(cpu_s=0.85)
    assert not doubtful(cpu_s=1.1, stopped="cpu")
    assert not doubtful(wall_s=2.2, stopped="wall")


def test_a_wall_timeout_of_a_starved_job_is_doubtful() -> None:
    assert doubtful(wall_s=2.2, stopped="wall", starved_s=0.5)
    assert doubtful(wall_s=2.2, stopped="wall", steal_s=0.5)
    assert not doubtful(wall_s=2.2, stopped="wall", starved_s=0.1)


def test_printable_text_keeps_lines_and_letters_and_escapes_the_rest() -> None:
    assert printable("zwö\n\ttab".encode()) == "zwö\n\ttab"
    assert printable(b"\x1b[2J\x00\xff\r") == "\\x1b[2J\\x00\\xff\\r"


def test_a_reason_cannot_carry_a_terminal_escape() -> None:
    word = json.dumps({"status": "exception", "reason": "\x1b[31m"}).encode()
    verdict = decide(facts(exit=1), chunk(LAST_WORD, word), LIMITS, oom_killed=False)
    assert verdict == Verdict("exception", None, "\\x1b[31m")
