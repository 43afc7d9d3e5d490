"""Tasks through effmark's bridge on the torch adapter, against lm-eval's own `hf` model.

Both have the same network in memory, the same items, the same batch size, fp32. Scores must be
equal to 1e-3, item by item; the time is that of the model's answers, tokenising included.
"""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from scripts.perf.rounds import known, ratio_of, run_rounds
from scripts.perf.table import Line, Promise, finish

from effmark.adapter import LoadRequest
from effmark.cache import default_cache
from effmark.environment import default_threads
from effmark.models import resolve_model
from effmark.registry import adapter_class
from effmark.suites import data_file

TITLE = "lm_eval: seconds of lm-eval's hf model / seconds through the bridge, torch fp32"
BATCH = 8
ROUNDS = 7
ITEMS = {"effmark-4m": 24, "default": 3}
"""Of each of the four tasks; every item has two or four choices."""
TOLERANCE = 1e-3
CONTEXT_TOKENS = 512
NEW_TOKENS = 16

Answers = list[Any]


def load_pair(model: str) -> tuple[Any, Any]:
    """Return the bridge and lm-eval's model, both on one network."""
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    from effmark.quality.bridge import AdapterLM
    from effmark_adapters.artefacts.hf_folder import hf_folder

    found = resolve_model(model, default_cache())
    request = LoadRequest(
        model=found,
        precision="fp32",
        threads=default_threads(),
        context_tokens=CONTEXT_TOKENS,
        batch=BATCH,
        cache=default_cache(),
    )
    kind: Any = adapter_class("torch")
    kind.prepare(request)
    adapter = kind()
    adapter.load(request)
    tokenizer = AutoTokenizer.from_pretrained(hf_folder(found, default_cache()))
    theirs = HFLM(pretrained=adapter._weights.net, tokenizer=tokenizer, batch_size=BATCH)
    return AdapterLM(adapter, adapter.facts(), sequences=BATCH), theirs


def choices(items: int) -> list[Any]:
    """Return the requests of a few items of every task of effmark_mini."""
    import json

    from lm_eval.api.instance import Instance

    requests = []
    for path in sorted(data_file("tasks", "effmark_mini").glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines[:: len(lines) // items][:items]:
            item = json.loads(line)
            gap = " " if item["query"] else ""
            for number, choice in enumerate(item["choices"]):
                pair = (item["query"], gap + choice)
                requests.append(Instance("loglikelihood", item, pair, number))
    return requests


def texts(items: int) -> list[Any]:
    """Return pieces of held-out text to score as a whole, of different lengths."""
    from lm_eval.api.instance import Instance

    text = data_file("text", "austen.txt").read_text(encoding="utf-8")
    starts = range(0, 1000 * items, 1000)
    pieces = [text[start : start + 300 + start % 700] for start in starts]
    return [Instance("loglikelihood_rolling", {}, (piece,), 0) for piece in pieces]


def prompts(items: int) -> list[Any]:
    """Return beginnings of sentences to continue up to a stop string."""
    from lm_eval.api.instance import Instance

    text = data_file("text", "austen.txt").read_text(encoding="utf-8")
    starts = range(0, 500 * items, 500)
    settings = {"until": ["\n\n", "."], "max_gen_toks": NEW_TOKENS, "do_sample": False}
    return [
        Instance("generate_until", {}, (text[start : start + 80 + start % 90], settings), 0)
        for start in starts
    ]


def largest_difference(ours: Answers, theirs: Answers) -> float:
    """Return the largest difference of two lists of answers; texts and flags differ by 1."""
    return max(_difference(a, b) for a, b in zip(ours, theirs, strict=True))


def _difference(a: Any, b: Any) -> float:
    if isinstance(a, tuple):
        return max(_difference(x, y) for x, y in zip(a, b, strict=True))
    return abs(a - b) if isinstance(a, float) else float(a != b)


def timed(
    method: Callable[..., Answers], requests: Sequence[Any], kept: list[Answers]
) -> Callable[[int], float]:
    """Return what asks a model and gives the seconds; its answers go into `kept`."""

    def measure(_: int) -> float:
        start = time.perf_counter()
        kept.append(method(list(requests), disable_tqdm=True))
        return time.perf_counter() - start

    return measure


def compare(model: str, items: int) -> list[Line]:
    """Return ratios and differences of one model."""
    bridge, hf = load_pair(model)
    asked = {
        "loglikelihood": choices(items),
        "loglikelihood_rolling": texts(items),
        "generate_until": prompts(max(items, BATCH)),
    }
    lines = []
    for name, requests in asked.items():
        ours: list[Answers] = []
        theirs: list[Answers] = []
        tasks = {
            "effmark": timed(getattr(bridge, name), requests, ours),
            "hf": timed(getattr(hf, name), requests, theirs),
        }
        for task in tasks.values():
            task(0)  # warm
        found = run_rounds(tasks, ROUNDS)
        ratio = ratio_of(found["hf"], found["effmark"])
        difference = max(largest_difference(a, b) for a, b in zip(ours, theirs, strict=True))
        what = f"{model} {name}, {len(requests)} requests"
        lines += [
            Line(what, ratio, "", Promise(1.0, at_least=True)),
            Line("  largest difference of an answer", known(difference), "", Promise(TOLERANCE)),
        ]
    return lines


def measure() -> list[Line]:
    """Return the ratios of both models."""
    logging.disable(logging.WARNING)
    with contextlib.redirect_stderr(io.StringIO()):  # hf shows bars even where none are wanted
        return [line for model, items in ITEMS.items() for line in compare(model, items)]


if __name__ == "__main__":
    finish(TITLE, measure())
