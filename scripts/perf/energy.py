"""Errors of joules on a fake GPU with a slow counter, in a few windows per length."""

from __future__ import annotations

import sys

from scripts.perf import energy_error

WINDOWS = "5"

if __name__ == "__main__":
    print("energy: relative errors of joules on a fake GPU, ours and others'")
    sys.argv[1:] = sys.argv[1:] or [WINDOWS]
    energy_error.main()
