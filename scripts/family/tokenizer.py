"""Train the family's byte-level BPE and turn the training text into token ids.

    python scripts/family/tokenizer.py --work WORK

reads WORK/{austen,docs,code}.jsonl and writes WORK/tokenizer (tokenizer files) and
WORK/{austen,docs,code}.npy (uint16 ids, every document preceded by the one special token).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 2048
SPECIAL = "<|endoftext|>"
CONTEXT_TOKENS = 512
CORPORA = ("austen", "docs", "code")
SAMPLE_B = 2_000_000
"""Characters of each corpus that the merges are learned from, so that none outweighs another."""


def texts(path: Path) -> list[str]:
    """Return the documents of one corpus."""
    return [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()]


def sample(documents: list[str]) -> list[str]:
    """Return every k-th document, so many that about ``SAMPLE_B`` characters remain."""
    return documents[:: max(1, sum(map(len, documents)) // SAMPLE_B)]


def train(corpora: list[list[str]]) -> Tokenizer:
    """Return a GPT-2 style byte-level BPE without a leading space."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for part in corpora for text in sample(part)), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    """Return the ids of all documents in order, each preceded by the special token."""
    start = tokenizer.token_to_id(SPECIAL)
    pieces = [[start, *line.ids] for line in tokenizer.encode_batch(documents)]
    return np.concatenate([np.array(piece, np.uint16) for piece in pieces])


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the two files from which transformers 4 and 5 load the tokenizer."""
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL,
        "eos_token": SPECIAL,
        "pad_token": SPECIAL,
        "model_max_length": CONTEXT_TOKENS,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def main() -> None:
    """Write the tokenizer and the token ids."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    corpora = [texts(work / f"{name}.jsonl") for name in CORPORA]
    tokenizer = train(corpora)
    save(tokenizer, work / "tokenizer")
    for name, documents in zip(CORPORA, corpora, strict=True):
        ids = encode(tokenizer, documents)
        np.save(work / f"{name}.npy", ids)
        size_b = sum(len(text.encode("utf-8")) for text in documents)
        print(f"{name}: {ids.size} tokens, {size_b / ids.size:.3f} bytes per token")


if __name__ == "__main__":
    main()
