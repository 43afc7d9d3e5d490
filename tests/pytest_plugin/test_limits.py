from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


def test_the_fixture_returns_the_result_and_keeps_the_measurement(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        def test_sum(effmark):
            assert effmark(sum, [1, 2]) == 3
            assert effmark.last.latency.value > 0
            assert effmark.last.latency.unit == "s"
            assert effmark.last.record.blocks[0].sequences > 1  # many calls a block
            assert effmark.last.energy.detail.startswith("energy was not asked for")
        """
    )
    result = pytester.runpytest_inprocess(*quick)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*= effmark =*", "*test_sum · sum*"])


def test_a_violated_limit_fails_and_shows_value_limit_and_interval(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import time, pytest

        @pytest.mark.effmark(max_latency_s=0.001)
        def test_slow(effmark):
            effmark(time.sleep, 0.005)

        @pytest.mark.effmark(max_latency_s=100, max_cpu_s=100, max_peak_memory_b=1e15)
        def test_fast(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(min_accuracy=0.9)
        def test_wrong(effmark):
            effmark(sum, [1])
            effmark.score("accuracy", [True, False])
        """
    )
    result = pytester.runpytest_inprocess(*quick)
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*call sleep: max_latency_s: * ms > 1.00 ms (95 % interval *", "*0.500 < 0.900*"]
    )


def test_what_cannot_be_judged_is_a_skip_with_the_reason_or_a_failure(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.effmark(min_accuracy=0.5)
        def test_skips(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(max_latency_s=1, min_accuracy=0.5, missing="fail")
        def test_fails(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(max_latency_s=1)
        def test_measures_nothing():
            pass

        @pytest.mark.effmark(max_latency_s=1, within="5%", of="nowhere")
        def test_has_no_baseline(effmark):
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_inprocess(*quick, "-rs")
    result.assert_outcomes(skipped=3, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "SKIPPED*min_accuracy=0.5 cannot be judged: nothing in this test measured accuracy*",
            "SKIPPED*max_latency_s=1 cannot be judged: nothing in this test measured*",
            "SKIPPED*no baseline 'nowhere'*pytest --effmark-save nowhere*",
        ]
    )
    strict = pytester.runpytest_inprocess(*quick, "--effmark-missing", "fail")
    strict.assert_outcomes(failed=4)


def test_an_estimated_energy_does_not_answer_a_limit(
    pytester: pytest.Pytester, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFMARK_SYSFS_ROOT", str(pytester.path / "empty"))
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.effmark(max_j_per_token=1e9)
        def test_energy(effmark):
            with effmark.window("decode") as window:
                sum(range(100_000))
                window.units(10)
        """
    )
    result = pytester.runpytest_inprocess(*quick, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*max_j_per_token=1e+09 cannot be judged: call decode: *"])


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("max_latencys=1", "*unknown 'max_latencys'; did you mean 'max_latency_s'*"),
        ("max_latency_s='soon'", "*max_latency_s='soon', wants a number*"),
        ("within='lots'", "*within='lots', wants a share such as '5%' or 0.05*"),
        ("missing='pass'", "*missing='pass', wants 'skip' or 'fail'*"),
        ("5", "*wants NAME=VALUE, got (5,)*"),
    ],
)
def test_a_marker_that_says_nothing_stops_the_collection(
    pytester: pytest.Pytester, quick: tuple[str, ...], marker: str, said: str
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.effmark({marker})
        def test_typo(effmark):
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_inprocess(*quick)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_a_failing_test_fails_for_its_own_reason_and_is_not_saved(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        def broken():
            raise RuntimeError("its own reason")

        def test_raises(effmark):
            effmark(broken)

        @pytest.mark.effmark(max_latency_s=1e-12)
        def test_asserts(effmark):
            assert effmark(sum, [1]) == 2

        def test_window_raises(effmark):
            with effmark.window("w"):
                broken()

        def test_nested(effmark):
            with effmark.window("outer"):
                effmark(sum, [1])
        """
    )
    result = pytester.runpytest_inprocess(*quick, "--effmark-save", "base")
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "*RuntimeError: its own reason",
            "*AssertionError*",
            "*window 'outer' would measure twice*",
        ]
    )
    assert not (pytester.path / ".effmark").exists()


def test_what_does_nothing_when_it_is_called_is_refused(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        async def waits():
            pass

        def yields():
            yield 1

        def test_coroutine(effmark):
            effmark(waits)

        def test_generator(effmark):
            effmark(yields)
        """
    )
    result = pytester.runpytest_inprocess(*quick)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            "*SpecError: waits is a coroutine function: a call of it runs nothing; measure a "
            "function that returns asyncio.run(f(…))",
            "*SpecError: yields is a generator function*list(f(…))",
        ]
    )


def test_a_window_counts_its_units_over_all_passes(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        from effmark.samples import metric_samples

        def test_window(effmark):
            for tokens in (10, 20):
                with effmark.window("decode") as window:
                    window.units(tokens)
            (record,) = effmark.records()
            assert len(record.blocks) == 2
            rate = metric_samples(record)["output_token_throughput"]
            assert list(rate.values) == [10, 20]
            cpu = metric_samples(record)["cpu_s_per_output_token"]
            assert list(cpu.weights) == [10, 20]
        """
    )
    pytester.runpytest_inprocess(*quick).assert_outcomes(passed=1)


def test_a_model_is_measured_in_a_worker_of_its_own(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        CELL = dict(adapter="synthetic_lm", model="synthetic")

        @pytest.mark.effmark(max_ttft_s=100, max_peak_memory_b=1e15)
        def test_cell(effmark):
            decode = {"decode": {"prompt_tokens": 8, "new_tokens": 4}}
            record = effmark.run_cell(**CELL, workload=decode)
            assert record.outcome == "ok"
            assert record.measurement("peak_memory_b")

        def test_unknown(effmark):
            effmark.run_cell(**CELL, workload={"dance": {}})
        """
    )
    result = pytester.runpytest_inprocess(*quick)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*SpecError: run_cell: workloads*unknown workload 'dance'*"])
