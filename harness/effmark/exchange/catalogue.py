"""The formats by name, each with a line for people."""

from __future__ import annotations

__all__ = ["EXPORTS", "IMPORTS"]

EXPORTS = {
    "github-smaller": "github-action-benchmark, tool customSmallerIsBetter",
    "github-bigger": "github-action-benchmark, tool customBiggerIsBetter",
    "bencher": "Bencher Metric Format (bencher run --adapter json), with bounds",
    "pytest-benchmark": "pytest-benchmark JSON with every time sample",
    "junit": "JUnit XML: a test case per cell, numbers as properties",
    "prometheus": "Prometheus text format, for node_exporter's textfile collector",
    "otlp": "OpenTelemetry metrics as OTLP JSON, GenAI names where they exist",
    "hf-model-index": "model-index of a Hugging Face model card, YAML, a file per model",
    "hf-eval-results": "an .eval_results file of a Hugging Face model, YAML",
    "every-eval-ever": "Every Eval Ever 0.3, JSON, a file per configuration",
}
IMPORTS = {
    "llama-bench": "what llama-bench -o json (or jsonl) prints",
    "optimum-benchmark": "benchmark.json, or benchmark_report.json beside its config",
    "pytest-benchmark": "what pytest --benchmark-json writes",
}
