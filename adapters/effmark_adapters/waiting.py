"""Waiting that is never shorter than asked, by the clock that measures it.

A step that waits from the moment at which the step before was handed over cannot follow it sooner,
however late that one was. With deadlines counted from the start of a request an overdue step would
come at once, and the median gap on a loaded machine would lie below the truth.
"""

from __future__ import annotations

import time

__all__ = ["wait"]


def wait(duration_s: float) -> None:
    """Return when the monotonic clock shows that `duration_s` seconds have passed since the call.

    The difference of two readings is exact in floating point as long as the machine has been up for
    longer than the wait, so a caller that read the clock before and after finds no less.
    """
    begin_s = time.monotonic()
    while (waited_s := time.monotonic() - begin_s) < duration_s:
        time.sleep(duration_s - waited_s)
