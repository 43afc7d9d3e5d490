"""Train one model of the in-repository family and save it as a Hugging Face folder.

    python scripts/family/train.py --size 1m --work WORK --out WORK/effmark-1m --tokens 20_000_000

Llama architecture, tied head, bf16 autocast over fp32 weights, one thread. Matrices are updated
by Muon, the embedding and the norms by AdamW. The schedule counts tokens, never seconds, and the
batches are a function of (seed, step) alone: every size sees the same text in the same order.
A checkpoint in WORK lets an interrupted run go on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

MIXTURE = {"austen": 0.5, "docs": 0.2, "code": 0.3}
"""Share of the sequences of each batch drawn from each corpus."""
BATCH_TOKENS = 4096
CONTEXT_TOKENS = 512
SHORT_TOKENS = 256
"""Sequences are this long at first, where attention is cheap, and ``CONTEXT_TOKENS`` at the end."""
SHORT_RATIO = 0.9
SEED = 0
MUON_RATE, ADAM_RATE = 0.02, 4e-3
WARM_UP_STEPS = 30
CONSTANT_RATIO = 0.7
"""After this share of the tokens the learning rate falls linearly to ``FLOOR_RATIO``."""
FLOOR_RATIO = 0.01
CHECKPOINT_STEPS = 50
REPORT_STEPS = 50


@dataclass(frozen=True)
class Shape:
    """The numbers that make one member of the family; every row a multiple of 128."""

    hidden: int
    layers: int
    ffn: int
    heads: int
    kv_heads: int


SHAPES = {"1m": Shape(128, 4, 384, 4, 2), "4m": Shape(256, 4, 768, 8, 4)}


def build(shape: Shape, vocabulary: int) -> LlamaForCausalLM:
    """Return the untrained model, weights drawn from ``SEED``."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.ffn,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=CONTEXT_TOKENS,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            # On a CPU plain matrix products beat the fused attention kernel at these lengths.
            attn_implementation="eager",
        )
    )


class Corpus:
    """The token ids of all corpora, from which step ``n`` always draws the same batch."""

    def __init__(self, work: Path) -> None:
        self.parts = [np.load(work / f"{name}.npy", mmap_mode="r") for name in MIXTURE]

    def batch(self, step: int, tokens: int) -> torch.Tensor:
        """Return the windows of one step, each of ``tokens`` + 1 ids."""
        random = np.random.default_rng([SEED, step])
        rows = []
        chosen = random.choice(len(MIXTURE), BATCH_TOKENS // tokens, p=list(MIXTURE.values()))
        for part in chosen:
            ids = self.parts[part]
            start = int(random.integers(len(ids) - tokens))
            rows.append(ids[start : start + tokens + 1].astype(np.int64))
        return torch.from_numpy(np.stack(rows))


def optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Return Muon over the matrices of the layers and AdamW over everything else."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in named if p.ndim != 2 or "embed" in name]
    muon = torch.optim.Muon(
        matrices, lr=MUON_RATE, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"
    )
    adam = torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    return [muon, adam]


def rate_ratio(step: int, steps: int) -> float:
    """Return the learning rate of a step as a share of the peak."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    left = (steps - step) / (steps * (1 - CONSTANT_RATIO))
    return warm * max(FLOOR_RATIO, min(1.0, left))


class Run:
    """One training run: model, optimizers and the step they have reached."""

    def __init__(self, size: str, work: Path, vocabulary: int) -> None:
        self.model = build(SHAPES[size], vocabulary)
        self.optimizers = optimizers(self.model)
        self.peaks = [group["lr"] for o in self.optimizers for group in o.param_groups]
        self.corpus = Corpus(work)
        self.checkpoint = work / f"checkpoint-{size}.pt"
        self.step = 0
        if self.checkpoint.exists():
            self._resume()

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step = state["step"]

    def save(self) -> None:
        """Write a checkpoint, replacing the last one only when it is whole."""
        partial = self.checkpoint.with_suffix(".partial")
        state: dict[str, Any] = {"step": self.step, "model": self.model.state_dict()}
        state["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def _loss(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.model(ids[:, :-1], use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())

    def advance(self, steps: int) -> float:
        """Take one step of a run of ``steps`` and return its loss in nats per token."""
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * rate_ratio(self.step, steps)
        tokens = SHORT_TOKENS if self.step < SHORT_RATIO * steps else CONTEXT_TOKENS
        loss = self._loss(self.corpus.batch(self.step, tokens))
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return loss.item()


def train(run: Run, tokens: int) -> float:
    """Train until ``tokens`` have been seen and return the mean loss of the last steps."""
    steps = math.ceil(tokens / BATCH_TOKENS)
    losses: list[float] = []
    mean = math.nan
    started_s = time.monotonic()
    while run.step < steps:
        losses.append(run.advance(steps))
        if run.step % REPORT_STEPS == 0 or run.step == steps:
            speed = len(losses) * BATCH_TOKENS / (time.monotonic() - started_s)
            mean = sum(losses) / len(losses)
            print(f"step {run.step}/{steps} loss {mean:.4f} {speed:.0f} tokens/s", flush=True)
            losses, started_s = [], time.monotonic()
        if run.step % CHECKPOINT_STEPS == 0 or run.step == steps:
            run.save()
    return mean


def export(model: LlamaForCausalLM, tokenizer: Path, out: Path) -> None:
    """Save weights in bf16, configuration and tokenizer where transformers finds them."""
    model.to(torch.bfloat16)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, pad_token_id=0)
    model.save_pretrained(out)
    config = json.loads((out / "config.json").read_text("utf-8"))
    # transformers 5 writes only rope_parameters; older readers look for rope_theta.
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (out / "model.safetensors").chmod(0o644)
    for path in tokenizer.iterdir():
        shutil.copy(path, out)


def main() -> None:
    """Train one size and save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SHAPES), required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of text.py, tokenizer.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = options.work / "tokenizer"
    run = Run(options.size, options.work, len(AutoTokenizer.from_pretrained(tokenizer)))
    loss = train(run, options.tokens)
    export(run.model, tokenizer, options.out)
    facts = {
        "parameters": run.model.num_parameters(),
        "tokens_seen": run.step * BATCH_TOKENS,
        "last_training_loss_nat_per_token": round(loss, 4),
        "torch": torch.__version__,
    }
    (options.work / f"run-{options.size}.json").write_text(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
