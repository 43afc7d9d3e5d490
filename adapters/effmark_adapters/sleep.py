"""The truth of the instrument: every step takes a known time, so the measured one can be checked.

Options: `step_s` seconds per token or batch (default 0.01), `first_s` seconds to the first token
(default `step_s`). The time is slept, not computed: the CPU stays idle. A sleep is never shorter
than asked and by how much it is longer is a property of the kernel; the deadlines are absolute,
so the excess does not add up. Any device is accepted and none is used: what is measured is then
that device at rest, which is how energy probes and their fakes are checked.
"""

from __future__ import annotations

import math
import time
from typing import ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import UnsupportedError
from effmark_adapters.null import NullAdapter

__all__ = ["SleepAdapter"]

_OPTIONS = ("first_s", "step_s")


class SleepAdapter(NullAdapter):
    """Sleeps for as long as it is told to."""

    name: ClassVar[str] = "sleep"
    devices: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Refuse unknown options and times that are no times."""
        super().prepare(request.model_copy(update={"options": {}}))
        for key, value in request.options.items():
            if key not in _OPTIONS:
                raise UnsupportedError(f"sleep: unknown option {key!r}; it has first_s, step_s")
            if isinstance(value, str | bool) or not 0 <= value < math.inf:
                raise UnsupportedError(
                    f"sleep: option {key} is {value!r}, wants seconds, 0 or more"
                )

    def load(self, request: LoadRequest) -> None:
        """Remember the times."""
        self.prepare(request)
        self._step_s = float(request.options.get("step_s", 0.01))
        self._first_s = float(request.options.get("first_s", self._step_s))

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Give a token when its time has come."""
        due = time.monotonic() + self._first_s
        step = [0] * len(generation.prompts)
        for _ in range(generation.new_tokens):
            _sleep_until(due)
            if on_step(step):
                return
            due += self._step_s

    def infer(self, batch: Array) -> Array:
        """Return the inputs after one step's time."""
        _sleep_until(time.monotonic() + self._step_s)
        return batch


def _sleep_until(due_s: float) -> None:
    remaining = due_s - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
