"""A language model without weights: scripted token times and quality, failures on demand.

Its next token is a fixed function of the last one; it is right about its own text with a given
probability, so bits per byte and accuracy are known beforehand. It can run out of memory, hang,
crash or die at a chosen block, which is how the harness proves that such things are recorded.

A token's wait begins when the token before was handed over, so no gap is shorter than told.

Options: `ttft_s`, `tpot_s` (seconds, default 0: no waiting), `sharpness` (probability of the
favoured token, default 0.9), `fail` (`oom`, `hang`, `crash`, `segfault`, `nan`, `exit`),
`fail_at` (block number, default 0).
"""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Sequence
from typing import ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import AdapterError, OutOfMemoryError, UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.null import NullAdapter
from effmark_adapters.waiting import wait

__all__ = ["SyntheticLmAdapter"]

_VOCABULARY = 256
_DEFAULTS: dict[str, float | str] = {
    "ttft_s": 0.0, "tpot_s": 0.0, "sharpness": 0.9, "fail": "", "fail_at": 0,
}  # fmt: skip
_FAILURES = ("", "oom", "hang", "crash", "segfault", "nan", "exit")


_WANTED = {
    "ttft_s": "seconds, 0 or more",
    "tpot_s": "seconds, 0 or more",
    "sharpness": "a probability above 0 and below 1",
    "fail_at": "a block number, 0 or more",
}


def _fits(key: str, value: bool | float | str) -> bool:
    """Return whether a value is one of those that a numeric option may have."""
    if isinstance(value, bool | str):
        return False
    if key == "sharpness":
        return 0 < value < 1
    if key == "fail_at":
        return isinstance(value, int) and value >= 0
    return 0 <= value < math.inf


class SyntheticLmAdapter(NullAdapter):
    """Continues bytes by a fixed rule, at fixed times."""

    name: ClassVar[str] = "synthetic_lm"
    precisions: ClassVar[tuple[str, ...]] = ("none", "fp32", "int8", "int4")

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Refuse unknown options and failures, and numbers that are none of theirs."""
        cls.check_device(request.device)
        if request.precision not in cls.precisions:
            known = ", ".join(cls.precisions)
            raise UnsupportedError(
                f"synthetic_lm: no precision {request.precision!r}; it has {known}"
            )
        for key in request.options:
            if key not in _DEFAULTS:
                known = ", ".join(_DEFAULTS)
                raise UnsupportedError(f"synthetic_lm: unknown option {key!r}; it has {known}")
        if request.options.get("fail", "") not in _FAILURES:
            raise UnsupportedError(f"synthetic_lm: cannot fail by {request.options['fail']!r}")
        for key, value in request.options.items():
            if key != "fail" and not _fits(key, value):
                raise UnsupportedError(
                    f"synthetic_lm: option {key} is {value!r}, wants {_WANTED[key]}"
                )

    def load(self, request: LoadRequest) -> None:
        """Remember the script."""
        self.prepare(request)
        options = {**_DEFAULTS, **request.options}
        self._ttft_s, self._tpot_s = float(options["ttft_s"]), float(options["tpot_s"])
        self._sharpness = float(options["sharpness"])
        self._fail, self._fail_at = str(options["fail"]), int(options["fail_at"])
        self._bits = {"fp32": 32, "int8": 8, "int4": 4}.get(request.precision, 8)
        self._blocks = 0

    def facts(self) -> ModelFacts:
        """Return facts of a made-up model of 1,024 weights."""
        size = 1024 * self._bits // 8
        return ModelFacts(
            parameters=1024, weights_b=size, file_b=size, effective_bits=float(self._bits),
            kernel="emulated", weights="random", weights_source="none", kv_bytes_per_token=1,
            flops_per_unit=2048.0, context_tokens=1 << 20,
        )  # fmt: skip

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Give the next byte of every sequence when its time has come."""
        self._misbehave()
        pause_s = self._ttft_s
        last = [prompt[-1] for prompt in generation.prompts]
        for _ in range(generation.new_tokens):
            last = [successor(token) for token in last]
            wait(pause_s)
            if on_step(last):
                return
            pause_s = self._tpot_s

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return log(sharpness) for the favoured token and the rest shared evenly."""
        import numpy as np

        self._misbehave()
        floor = math.log((1 - self._sharpness) / (_VOCABULARY - 1))
        rows = []
        for context, continuation in pairs:
            before = [context[-1], *continuation[:-1]]
            row = np.full((len(continuation), _VOCABULARY), floor, dtype=np.float32)
            row[range(len(before)), [successor(token) for token in before]] = math.log(
                self._sharpness
            )
            if self._fail == "nan":
                row[:] = math.nan
            rows.append(row)
        return rows

    def _misbehave(self) -> None:
        """Fail as scripted when the block has come."""
        block, self._blocks = self._blocks, self._blocks + 1
        if block != self._fail_at:
            return
        if self._fail == "oom":
            raise OutOfMemoryError("synthetic_lm: out of memory, as scripted")
        if self._fail == "crash":
            raise AdapterError("synthetic_lm: failed, as scripted")
        if self._fail == "hang":
            time.sleep(1e6)
        if self._fail == "segfault":
            ctypes.string_at(0)
        if self._fail == "exit":
            os._exit(0)


def successor(token: int) -> int:
    """Return the byte that the synthetic language puts after another one."""
    return (token * 37 + 11) % _VOCABULARY
