"""null, sleep and synthetic_lm: what they refuse, so that a typing error is never a measurement."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import Generation, LoadRequest
from effmark.errors import UnsupportedError
from effmark.models import resolve_model
from effmark.registry import adapter_class


def _prepare(adapter: str, cache: Path, **changes: Any) -> None:
    model = resolve_model("synthetic", cache)
    request = LoadRequest(model=model, precision="none", cache=cache).model_copy(update=changes)
    adapter_class(adapter).prepare(request)


@pytest.mark.parametrize("adapter", ["null", "synthetic_lm"])
@pytest.mark.parametrize("device", ["cuda:0", "rocm:1", "npu"])
def test_a_device_on_which_nothing_would_run_is_refused(
    adapter: str, device: str, tmp_path: Path
) -> None:
    _prepare(adapter, tmp_path, device="cpu")
    with pytest.raises(UnsupportedError, match=f"{adapter}: no device '{device}'; it has 'cpu'"):
        _prepare(adapter, tmp_path, device=device)


def test_sleep_stands_in_for_any_device(tmp_path: Path) -> None:
    _prepare("sleep", tmp_path, device="cuda:0")


@pytest.mark.parametrize(
    ("adapter", "key", "value", "wanted"),
    [
        ("synthetic_lm", "tpot_s", -0.1, "seconds, 0 or more"),
        ("synthetic_lm", "ttft_s", math.nan, "seconds, 0 or more"),
        ("synthetic_lm", "ttft_s", "soon", "seconds, 0 or more"),
        ("synthetic_lm", "sharpness", 1, "a probability above 0 and below 1"),
        ("synthetic_lm", "sharpness", 0.0, "a probability above 0 and below 1"),
        ("synthetic_lm", "fail_at", -1, "a block number, 0 or more"),
        ("synthetic_lm", "fail_at", 1.5, "a block number, 0 or more"),
        ("sleep", "step_s", -1, "seconds, 0 or more"),
        ("sleep", "first_s", math.inf, "seconds, 0 or more"),
        ("sleep", "step_s", True, "seconds, 0 or more"),
    ],
)
def test_a_number_that_is_none_of_its_option_is_refused(
    adapter: str, key: str, value: object, wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedError, match=f"option {key} is {value!r}, wants {wanted}"):
        _prepare(adapter, tmp_path, options={key: value})


def test_options_within_their_bounds_are_taken(tmp_path: Path) -> None:
    options = {"ttft_s": 0, "tpot_s": 0.5, "sharpness": 0.99, "fail_at": 3, "fail": "oom"}
    _prepare("synthetic_lm", tmp_path, options=options)


TIMED = {
    "sleep": {"first_s": 0.004, "step_s": 0.002},
    "synthetic_lm": {"ttft_s": 0.004, "tpot_s": 0.002},
}


def _loaded(adapter: str, cache: Path, options: dict[str, float]) -> Any:
    model = resolve_model("synthetic", cache)
    found = adapter_class(adapter)()
    found.load(LoadRequest(model=model, precision="none", cache=cache, options=options))
    return found


def _stamps(adapter: Any, tokens: int, held_up: Callable[[int], float]) -> list[float]:
    """Return when the request began and each token came; the receiver is busy after some."""
    stamps = [time.monotonic()]

    def on_step(step: object) -> bool:
        stamps.append(time.monotonic())
        time.sleep(held_up(len(stamps)))
        return False

    adapter.generate(Generation(prompts=((1, 2),), new_tokens=tokens), on_step)
    return stamps


@pytest.mark.parametrize("adapter", list(TIMED))
@pytest.mark.parametrize("late_s", [0.0, 0.011])
def test_no_gap_is_shorter_than_told_however_late_the_step_before_was(
    adapter: str, late_s: float, tmp_path: Path
) -> None:
    loaded = _loaded(adapter, tmp_path, TIMED[adapter])
    stamps = _stamps(loaded, 9, lambda n: late_s if n % 3 == 2 else 0.0)
    first, *gaps = [b - a for a, b in itertools.pairwise(stamps)]
    assert first >= 0.004
    assert min(gaps) >= 0.002  # exactly, not about
    assert (stamps[-1] - stamps[1]) / 8 >= 0.002


def test_what_is_measured_of_sleep_lies_between_its_sleeps_and_the_whole_request(
    tmp_path: Path,
) -> None:
    loaded = _loaded("sleep", tmp_path, TIMED["sleep"])
    before = time.monotonic()
    stamps = _stamps(loaded, 9, lambda n: 0.0)
    whole_s = time.monotonic() - before
    assert 0.004 + 8 * 0.002 <= loaded.slept_s <= stamps[-1] - stamps[0] <= whole_s


def test_a_batch_takes_no_less_than_a_step(tmp_path: Path) -> None:
    loaded = _loaded("sleep", tmp_path, {"step_s": 0.003})
    before = time.monotonic()
    assert loaded.infer("batch") == "batch"
    assert time.monotonic() - before >= 0.003


def test_without_times_nothing_waits(tmp_path: Path) -> None:
    loaded = _loaded("synthetic_lm", tmp_path, {})
    before = time.process_time()
    assert len(_stamps(loaded, 3, lambda n: 0.0)) == 4
    assert time.process_time() - before < 1
