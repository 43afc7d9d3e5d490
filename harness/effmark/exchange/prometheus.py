r"""Prometheus text format 0.0.4: a gauge per metric, two for its bounds, one for what is missing.

Names follow promtool's rules: base units in full (`effmark_tpot_seconds`), no `_total` on gauges, a
HELP and a TYPE line before the samples of a family, all of it together. Label values escape `\`,
`"` and line ends; the label `cell` makes every label set unique. No timestamps: the textfile
collector refuses them. Sources: prometheus.io/docs/instrumenting/exposition_formats, promlint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from effmark.exchange.entries import Choice, Outgoing, outgoing
from effmark.metrics import METRICS
from effmark.record import Missing
from effmark.report.configurations import machines_of, suite_of
from effmark.report.names import plain
from effmark.rows import Row
from effmark.schema import content_hash

__all__ = ["metric_name", "prometheus_text"]

_WORDS = {"s": "seconds", "b": "bytes", "j": "joules", "w": "watts", "usd": "dollars",
          "hz": "hertz"}  # fmt: skip
"""Last words of effmark's names, and `per_j`, spelt out."""


def prometheus_text(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the exposition of all numbers."""
    found = outgoing(rows, choice, finite=False)
    families: dict[str, tuple[str, list[str]]] = {}
    labels = dict(zip(map(id, rows), map(_labels, rows, machines_of(rows)), strict=True))
    for entry in found.entries:
        name, number = metric_name(entry.metric.name), entry.number
        marked = {"mark": entry.mark} if entry.mark else {}
        text = _label_text({**labels[id(entry.row)], **marked})
        bounds = (("", number.value, ""), ("_ci_low", number.low, "lower bound (95 %) of: "),
                  ("_ci_high", number.high, "upper bound (95 %) of: "))  # fmt: skip
        for suffix, value, prefix in bounds:
            if value is not None:
                help_text = f"{prefix}{entry.metric.definition} [{entry.metric.unit}]"
                family = families.setdefault(f"{name}{suffix}", (help_text, []))
                family[1].append(f"{name}{suffix}{text} {_value(value)}")
    families["effmark_missing_numbers"] = (
        "1 for every number that could not be measured, with the reason",
        list(_missing(rows, choice, labels)),
    )
    return "".join(_family(name, *families[name]) for name in families), found


def metric_name(name: str) -> str:
    """Return the Prometheus name of a metric: `effmark_energy_joules_per_output_token`."""
    words = name.split("_")
    last = len(words) - 1
    per = [i for i, word in enumerate(words) if word == "per"]
    units = {last, *(i - 1 for i in per)}
    spelt = [_WORDS.get(w, w) if i in units else w for i, w in enumerate(words)]
    if words[-2:] == ["per", "j"]:
        spelt[-1] = "joule"
    return "effmark_" + "_".join(spelt)


def _family(name: str, help_text: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    escaped = help_text.replace("\\", "\\\\").replace("\n", "\\n")
    return "\n".join([f"# HELP {name} {escaped}", f"# TYPE {name} gauge", *lines, ""])


def _labels(row: Row, machine: str) -> dict[str, str]:
    model, adapter, precision, options, device = row.configuration
    return {
        "suite": suite_of(row), "machine": machine, "model": model, "adapter": adapter,
        "precision": precision, "options": options, "device": device,
        "workload": row.record.cell.workload.label,
        "cell": content_hash([row.record.cell.key, machine])[:12],
    }  # fmt: skip


def _label_text(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{k}="{_escaped(v)}"' for k, v in labels.items() if v) + "}"


def _escaped(text: str) -> str:
    safe = plain(text, 500)
    return safe.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _value(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))


def _missing(
    rows: Sequence[Row], choice: Choice, labels: Mapping[int, Mapping[str, str]]
) -> Iterator[str]:
    for row in rows:
        for name, found in row.metrics.items():
            wanted = (not choice.metrics or name in choice.metrics) and name in METRICS
            if wanted and isinstance(found, Missing):
                told = {**labels[id(row)], "metric": name, "reason": found.reason}
                yield f"effmark_missing_numbers{_label_text(told)} 1"
