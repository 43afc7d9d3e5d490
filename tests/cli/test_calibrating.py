"""`effmark gate --calibrate`: what ran often enough is calibrated, the rest is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SUITE = """\
suite: noisy
version: 1
why: one cell runs, one does not
models: [synthetic]
cells:
  - {adapter: synthetic_lm, precision: fp32}
  - {adapter: synthetic_lm, precision: int4, options: {fail: crash}}
workloads:
  - decode: {prompt_tokens: 8, new_tokens: 8}
budget: {process_s: 0.1}
"""


def test_a_cell_that_does_not_run_is_named_and_the_others_are_calibrated(
    effmark: Command, tmp_path: Path
) -> None:
    suite = tmp_path / "noisy.yaml"
    suite.write_text(SUITE)
    done = effmark("gate", "--calibrate", str(suite))
    assert done.returncode == 0, done.stderr
    left_out = next(line for line in done.stderr.splitlines() if "left out" in line)
    assert "int4" in left_out
    assert left_out.endswith("one ended as crash: synthetic_lm: failed, as scripted")
    (entry,) = json.loads((tmp_path / "results/calibration.json").read_text())
    assert "fp32" in entry["cell"]
