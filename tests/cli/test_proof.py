"""Runs with runtimes that do not compute the model: what people then read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("transformers")

Command = Callable[..., "subprocess.CompletedProcess[str]"]

ADAPTERS = '''
import numpy as np
from effmark.adapter import Generation
from effmark_adapters.torch import TorchAdapter


class Unmasked(TorchAdapter):
    """Its padding is seen by the shorter prompts of a batch."""

    name = "unmasked"

    def generate(self, generation, on_step):
        longest = max(map(len, generation.prompts))
        rows = tuple((0,) * (longest - len(p)) + tuple(p) for p in generation.prompts)
        super().generate(generation.model_copy(update={"prompts": rows}), on_step)

    replay = None


class Garbled(TorchAdapter):
    """Its int8 weights are those of another model, as far as anybody can see."""

    name = "garbled"

    def log_probs(self, pairs):
        found = super().log_probs(pairs)
        if self._request.precision == "int8":
            found = [np.roll(rows, 1, axis=1) for rows in found]
        return found
'''
SUITE = """\
suite: broken
version: 1
why: runtimes that are wrong in one way each
models: [effmark-1m]
cells:
  - {adapter: torch, precision: [fp32]}
  - {adapter: unmasked, precision: [int8, fp32]}
  - {adapter: garbled, precision: [int8]}
workloads:
  - decode: {prompt_tokens: 8, new_tokens: 4}
budget: {process_s: 0.3}
"""

ALONE = """\
suite: alone
version: 1
why: no reference is installed
models: [effmark-1m]
cells:
  - {adapter: llama-cpp, precision: [f32]}
workloads:
  - decode: {prompt_tokens: 8, new_tokens: 4}
budget: {process_s: 0.3}
"""


@pytest.fixture
def broken_runtimes(tmp_path: Path) -> str:
    """A PYTHONPATH where a package of both adapters is installed."""
    installed = tmp_path / "site"
    info = installed / "broken_runtimes-0.1.dist-info"
    info.mkdir(parents=True)
    (installed / "broken_runtimes.py").write_text(ADAPTERS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-runtimes\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        "[effmark.adapters]\nunmasked = broken_runtimes:Unmasked\n"
        "garbled = broken_runtimes:Garbled\n"
    )
    return os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))


def test_what_does_not_compute_the_model_is_not_measured_and_what_collapsed_never_ranks(
    effmark: Command, broken_runtimes: str, tmp_path: Path
) -> None:
    suite = tmp_path / "broken.yaml"
    suite.write_text(SUITE)
    cache = str(tmp_path / "cache")
    done = effmark("run", str(suite), PYTHONPATH=broken_runtimes, EFFMARK_CACHE=cache)
    assert "Traceback" not in done.stderr

    found = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    rows = {row["adapter"]: row for row in found if row["precision"] != "int8"}
    (rows["garbled"],) = [row for row in found if row["adapter"] == "garbled"]
    assert rows["torch"]["outcome"] == "ok"
    assert not {"unproven", "invalid"} & set(rows["torch"]["marks"])

    unmasked = rows["unmasked"]
    assert unmasked["outcome"] == "unsupported"
    assert unmasked["detail"].startswith(
        "unmasked at fp32 does not compute the model: greedy token"
    )
    assert not unmasked["metrics"].get("tpot_s", {}).get("value")
    (rounded,) = [r for r in found if r["adapter"] == "unmasked" and r["precision"] == "int8"]
    assert rounded["outcome"] == "unsupported"  # though it comes before fp32 in the suite
    assert rounded["detail"].startswith("unmasked at int8 is not trusted, since unmasked at fp32")

    garbled = rows["garbled"]
    assert garbled["outcome"] == "ok"
    assert garbled["validity"] == "invalid"
    assert "quality_collapsed" in {advice["code"] for advice in garbled["advice"]}
    assert rows["torch"]["metrics"]["tpot_s"]["rank"]["of"] == 1
    assert garbled["metrics"]["tpot_s"]["no_rank"] == "invalid"


def test_where_nobody_can_vouch_for_it_the_row_says_so(effmark: Command, tmp_path: Path) -> None:
    """A user without transformers runs llama.cpp: it is measured, ranked and marked."""
    missing = tmp_path / "site" / "transformers"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'transformers'\", name='transformers')\n"
    )
    suite = tmp_path / "alone.yaml"
    suite.write_text(ALONE)
    path = os.pathsep.join(filter(None, [str(missing.parent), os.environ.get("PYTHONPATH")]))
    cache = str(tmp_path / "cache")
    done = effmark("run", str(suite), PYTHONPATH=path, EFFMARK_CACHE=cache)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert "unproven" in row["marks"]
    assert row["metrics"]["tpot_s"]["rank"]["low"] == 1
    assert "° unproven" in effmark("leaderboard").stdout
