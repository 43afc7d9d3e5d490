"""Quality on held-out text: bits per byte, perplexity, KL and top-1 agreement with fp32.

The text is cut into windows that overlap by one token, so that every token but the first is
predicted exactly once, each from at most `context_tokens` tokens before it, and from what the
model's tokenizer begins a text with: some models are lost without it. All numbers are
ratios of sums over windows; the windows are what intervals resample. The reference's
log-probabilities are written once by the baseline cell and read by all others.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from pathlib import Path
from typing import Any

from effmark.adapter import Scores, begin
from effmark.cache import build_once
from effmark.errors import AdapterError, SpecError, UnsupportedError
from effmark.record import Measured, Missing
from effmark.regular_files import given_bytes
from effmark.schema import content_hash
from effmark.spec import Text
from effmark.strict_json import decoded_text
from effmark.suites import text_file
from effmark.workloads.context import Context, Findings

__all__ = ["text"]

_BATCH = 4
"""Windows that are scored together; bounds the memory of the log-probabilities."""


def text(context: Context) -> Findings:
    """Score a held-out text and compare with the reference where there is one."""
    workload = context.cell.workload
    assert isinstance(workload, Text)
    adapter = context.adapter
    if not isinstance(adapter, Scores):
        raise UnsupportedError(f"adapter {context.cell.adapter!r} gives no log-probabilities")
    limit = context.facts.context_tokens
    start = tuple(begin(adapter, ()))
    if limit is not None and len(start) + workload.context_tokens + 1 > limit:
        raise UnsupportedError(
            f"{workload.label}: windows of {workload.context_tokens} tokens exceed the context of "
            f"{limit} tokens of model {context.cell.model.name!r}"
        )
    content, sha256 = _read(workload.name)
    tokens = _tokens(adapter, content, workload.tokens)
    windows = [
        tuple(tokens[first : first + workload.context_tokens + 1])
        for first in range(0, len(tokens) - 1, workload.context_tokens)
    ]
    rows = _score(context, adapter, start, windows)
    notes = {"text_sha256": sha256, "tokens": str(len(tokens)), "begins_with": repr(list(start))}
    findings = Findings(notes=notes)
    _likelihood(findings, adapter, tokens, windows, rows, workload.context_tokens)
    _fidelity(context, findings, windows, rows, [sha256, start])
    return findings


def _read(name: str) -> tuple[str, str]:
    raw = given_bytes(text_file(name), "text")
    return decoded_text(raw, f"text {name!r}"), hashlib.sha256(raw).hexdigest()


def _tokens(adapter: Scores, content: str, wanted: int) -> list[int]:
    tokens = adapter.encode(content[: wanted * 16])[:wanted]
    if len(tokens) < 2:
        raise SpecError("the text is shorter than two tokens; nothing can be predicted")
    return tokens


def _score(
    context: Context, adapter: Scores, start: tuple[int, ...], windows: list[tuple[int, ...]]
) -> list[Any]:
    rows: list[Any] = []
    for first in range(0, len(windows), _BATCH):
        context.progress(f"text window {first + 1} of {len(windows)}")
        part = windows[first : first + _BATCH]
        pairs = [((*start, window[0]), window[1:]) for window in part]
        rows.extend(adapter.log_probs(pairs))
    return rows


def _likelihood(
    findings: Findings,
    adapter: Scores,
    tokens: list[int],
    windows: list[tuple[int, ...]],
    rows: list[Any],
    stride: int,
) -> None:
    """Add bits per byte and perplexity; samples are windows."""
    nats = [
        -math.fsum(float(row[i, token]) for i, token in enumerate(window[1:]))
        for window, row in zip(windows, rows, strict=True)
    ]
    if not all(map(math.isfinite, nats)):
        raise AdapterError("log_probs: NaN or an infinite value for a token of the text")
    ends = [min(1 + (i + 1) * stride, len(tokens)) for i in range(len(windows))]
    lengths = [len(adapter.decode(tokens[:end]).encode()) for end in [1, *ends]]
    byte_counts = [float(b - a) for a, b in itertools.pairwise(lengths)]
    counts = [float(len(window) - 1) for window in windows]
    findings.measurements += [
        Measured(metric="bits_per_byte", unit="bit/B", estimator="ratio", source="logits",
                 samples=tuple(n / math.log(2) for n in nats), weights=tuple(byte_counts)),
        Measured(metric="perplexity", unit="ratio", estimator="exp_ratio", source="logits",
                 samples=tuple(nats), weights=tuple(counts)),
    ]  # fmt: skip


def _fidelity(
    context: Context,
    findings: Findings,
    windows: list[tuple[int, ...]],
    rows: list[Any],
    text: list[Any],
) -> None:
    """Add KL and top-1 agreement with the reference, or why they are missing."""
    workload = context.cell.workload
    assert isinstance(workload, Text)
    key = content_hash(
        [
            context.cell.model.sha256,
            text,
            workload.tokens,
            workload.context_tokens,
            context.reference,
        ]
    )[:32]
    names = {"kl_divergence": "nat", "top1_agreement": "ratio"}
    folder = context.cache / "reference" / key
    if context.is_reference:
        folder = build_once(context.cache, "reference", key, lambda empty: _write(empty, rows),
                            f"the reference for KL of {context.cell.model.name}")  # fmt: skip
    if not folder.is_dir():
        detail = "the baseline of the suite has not run on this text yet; run it first"
        findings.measurements += [
            Missing(metric=name, reason="not_present", detail=detail) for name in names
        ]
        return
    findings.notes["reference"] = key
    divergences, agreements = zip(
        *(_compare(reference, row) for reference, row in zip(_load(folder), rows, strict=True)),
        strict=True,
    )
    weights = tuple(float(len(window) - 1) for window in windows)
    for (name, unit), values in zip(names.items(), (divergences, agreements), strict=True):
        findings.measurements.append(
            Measured(metric=name, unit=unit, samples=values, weights=weights,
                     estimator="ratio", source="logits")
        )  # fmt: skip


def _write(folder: Path, rows: list[Any]) -> None:
    import numpy as np

    for number, row in enumerate(rows):
        np.save(folder / f"{number:05d}.npy", np.asarray(row, dtype=np.float32))


def _load(folder: Path) -> list[Any]:
    import numpy as np

    return [np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))]


def _compare(reference: Any, row: Any) -> tuple[float, float]:
    """Return the summed KL in nats and the number of positions with the same first choice."""
    import numpy as np

    width = min(reference.shape[1], row.shape[1])  # some runtimes pad the vocabulary
    p, q = reference[:, :width].astype(np.float64), row[:, :width].astype(np.float64)
    divergence = float((np.exp(p) * (p - q)).sum())
    same = float((p.argmax(axis=1) == q.argmax(axis=1)).sum())
    return max(divergence, 0.0), same
