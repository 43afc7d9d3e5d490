"""The truth of the instrument: every step takes a known time, so the measured one can be checked.

Options: `step_s` seconds per token or batch (default 0.01), `first_s` seconds to the first token
(default `step_s`). The time is slept, not computed: the CPU stays idle. A step's sleep begins when
the step before was handed over and is never shorter than asked, so no gap between two tokens is:
TPOT >= `step_s` and TTFT >= `first_s` hold exactly, on a loaded machine, too. By how much they are
longer is the kernel's doing; `slept_s` says how long all sleeps really took. Any device is accepted
and none is used: what is measured is then that device at rest, which is how energy probes and their
fakes are checked.
"""

from __future__ import annotations

import math
import time
from typing import ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import UnsupportedError
from effmark_adapters.null import NullAdapter
from effmark_adapters.waiting import wait

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
        self.slept_s = 0.0
        """Seconds that all sleeps have taken since loading, by the clock: what was asked and the
        kernel's excess."""

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Give a token when its time has come."""
        step = [0] * len(generation.prompts)
        pause_s = self._first_s
        for _ in range(generation.new_tokens):
            self._sleep(pause_s)
            if on_step(step):
                return
            pause_s = self._step_s

    def infer(self, batch: Array) -> Array:
        """Return the inputs after one step's time."""
        self._sleep(self._step_s)
        return batch

    def _sleep(self, pause_s: float) -> None:
        begin_s = time.monotonic()
        wait(pause_s)
        self.slept_s += time.monotonic() - begin_s
