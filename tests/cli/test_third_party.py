from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_example_of_the_adapter_page_runs_like_a_built_in(
    effmark: Command, root: Path, tmp_path: Path
) -> None:
    page = (root / "docs" / "adapters.md").read_text()
    installed = tmp_path / "site"
    info = installed / "effmark_bigram-0.1.dist-info"
    info.mkdir(parents=True)
    (installed / "effmark_bigram.py").write_text(blocks(page, "python")[0])
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: effmark-bigram\nVersion: 0.1\n")
    entry = blocks(page, "toml")[0].replace('[project.entry-points."effmark.adapters"]', "")
    (info / "entry_points.txt").write_text("[effmark.adapters]\n" + entry.replace('"', ""))
    suite = tmp_path / "bigram.yaml"
    suite.write_text(blocks(page, "yaml")[0])
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    cache = str(tmp_path / "cache")

    assert "bigram" in effmark("list", "adapters", PYTHONPATH=path).stdout
    done = effmark("run", str(suite), PYTHONPATH=path, EFFMARK_CACHE=cache)
    assert done.returncode == 0, done.stderr
    rows = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert {row["precision"] for row in rows} == {"fp32", "fp16"}
    text = next(r for r in rows if r["precision"] == "fp16" and r["workload"].startswith("text"))
    assert text["metrics"]["effective_bits"]["value"] == 16
    assert text["metrics"]["kl_divergence"]["value"] < 1e-4
