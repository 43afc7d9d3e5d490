"""null, sleep and synthetic_lm: what they refuse, so that a typing error is never a measurement."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
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
