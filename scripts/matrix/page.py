"""Write `docs/models.md` from the results: `python -m scripts.matrix.page [--check]`."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.matrix.cells import EXACT, LOW, VARIANTS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "scripts/matrix/results.json"
PAGE = ROOT / "docs/models.md"

HEAD = """\
# Models

Which model families run where, tried with tiny random models: made with seeded weights of every
causal-LM family that transformers builds without a hub, taken from its registry. Each was
prepared, loaded and asked on each runtime as `effmark run` does it, and its answers were held
against a forward of transformers in fp32, eager, without a cache.

- **right**: at full precision the log-probabilities of a text of 64 tokens agree within 2e-3 nats
  (llama.cpp 1e-2: its GELU is a table in f16),
  and every token that a batch of four unequal prompts continues with, and each prompt alone, is
  the likeliest one within the same. At low precision: KL to the same runtime's full precision and
  its steps against its own prefill stay within bounds for two random layers.
- **refused**: not measured, with the reason below: refused by the runtime's adapter, or by the
  proof that every artefact gives of itself before it is timed (at low precision: not ranked).
- **wrong**, **crash**: a fault of effmark, that is known and not yet mended.
- `-`: not tried.

`fp32` is the untied model at full precision; `tied` the same, made in bf16, in several shards, with
embedding and head in one table where the family has that; the low precisions are tried on both.
This page is made by `python -m scripts.matrix.page` from `scripts/matrix/results.json`, which
`python -m scripts.matrix.run` (`make matrix`) brings up to date; it tries what other code made.
"""


def page_of(body: dict[str, Any]) -> str:
    """Return the page."""
    cells: dict[str, dict[str, Any]] = body["cells"]
    versions = ", ".join(f"{name} {version}" for name, version in body["versions"].items())
    families = sorted({key.split("/")[0] for key in cells})
    counts = Counter(cell["outcome"] for cell in cells.values())
    total = ", ".join(f"{counts[name]} {name}" for name in ("right", "refused", "wrong", "crash"))
    parts = [
        HEAD,
        f"{len(families)} families, {len(cells)} cells: {total}. {versions}.\n",
        "\n".join(_table(families, cells)),
        "\n## Reasons\n",
        "\n".join(_reasons(cells)),
    ]
    return "\n".join(parts) + "\n"


def _table(families: Iterable[str], cells: dict[str, Any]) -> Iterable[str]:
    heads = [f"{adapter} {what}" for adapter in EXACT for what in ("fp32", "tied", "low")]
    yield "| family | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    for family in families:
        words = []
        for adapter, exact in EXACT.items():
            words += [
                _word(cells, [f"{family}/untied/{adapter}/{exact}"]),
                _word(cells, [f"{family}/tied/{adapter}/{exact}"]),
                _word(
                    cells, [f"{family}/{v}/{adapter}/{p}" for v in VARIANTS for p in LOW[adapter]]
                ),
            ]
        yield f"| {family} | " + " | ".join(words) + " |"


def _word(cells: dict[str, Any], keys: Iterable[str]) -> str:
    """Return the worst outcome of cells."""
    found = [cells[key]["outcome"] for key in keys if key in cells]
    for outcome in ("crash", "wrong", "refused", "right"):
        if outcome in found:
            few = found.count(outcome) < len(found)
            return f"{outcome} ({found.count(outcome)} of {len(found)})" if few else outcome
    return "-"


def _reasons(cells: dict[str, Any]) -> Iterable[str]:
    """Yield each reason with the cells that it is about."""
    about: dict[tuple[str, str], list[str]] = {}
    for key, cell in cells.items():
        family, _, adapter, _ = key.split("/")
        if cell["outcome"] == "right":
            continue
        reason = (
            cell.get("reason", "")
            .split("\n")[0]
            .replace(f"{family!r}", "…")
            .removeprefix(f"{family}: ")[:200]
        )
        about.setdefault((cell["outcome"], f"{adapter}: {reason}"), []).append(family)
    for (outcome, reason), names in sorted(about.items()):
        yield f"- {outcome}, {reason} ({', '.join(sorted(set(names)))})"


def main() -> int:
    """Write the page; with `--check` say whether it is up to date."""
    text = page_of(json.loads(RESULTS.read_text("utf-8")))
    if "--check" in sys.argv:
        return 0 if PAGE.is_file() and PAGE.read_text("utf-8") == text else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
