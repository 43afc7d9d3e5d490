"""Score the trained family on the held-out text and write family.json.

    python scripts/family/card.py --work WORK [--family FOLDER]

Bits per byte: the text in windows of the context length, each starting afresh after the special
token, so that every byte is scored once and none twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

SUITES = Path(__file__).resolve().parents[2] / "suites/effmark_suites"
TEXTS = ("austen", "python")
SIZES = ("1m", "4m")


def windows(ids: list[int], start: int, length: int) -> list[torch.Tensor]:
    """Return the ids cut to rows of at most ``length``, each led by ``start``."""
    step = length - 1
    return [torch.tensor([[start, *ids[at : at + step]]]) for at in range(0, len(ids), step)]


@torch.inference_mode()
def bits_per_byte(folder: Path, text: str) -> float:
    """Return the cost of a text in bits per UTF-8 byte, weights widened to fp32."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    total_nat = 0.0
    length = model.config.max_position_embeddings
    for row in windows(tokenizer(text, verbose=False).input_ids, tokenizer.bos_token_id, length):
        logits = model(row).logits[0, :-1]
        total_nat += torch.nn.functional.cross_entropy(logits, row[0, 1:], reduction="sum").item()
    return total_nat / math.log(2) / len(text.encode("utf-8"))


def member(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of one size: its training, its scores, its files."""
    texts = {name: (SUITES / "text" / f"{name}.txt").read_text("utf-8") for name in TEXTS}
    paths = sorted(folder.iterdir())
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    scores = {name: round(bits_per_byte(folder, text), 4) for name, text in texts.items()}
    return {**run, "bits_per_byte": scores, "sha256": files}


def main() -> None:
    """Write family.json beside the models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder with the run-SIZE.json")
    parser.add_argument("--family", type=Path, default=SUITES / "family")
    options = parser.parse_args()
    torch.set_num_threads(1)
    family = {}
    for size in SIZES:
        run = json.loads((options.work / f"run-{size}.json").read_text("utf-8"))
        family[f"effmark-{size}"] = member(options.family / f"effmark-{size}", run)
    text = json.dumps(family, indent=2) + "\n"
    (options.family / "family.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
