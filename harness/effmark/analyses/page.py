"""The analyses for the page: those that the results allow, with their usual settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from effmark.analyses.choice import best_choice
from effmark.analyses.exponents import exponents
from effmark.analyses.field import Field, fields
from effmark.analyses.finding import Finding, TooLittle, finding_json
from effmark.analyses.hypervolume import hypervolumes
from effmark.analyses.iso import iso_budget, iso_quality
from effmark.analyses.law import law
from effmark.analyses.proxies import proxies
from effmark.analyses.reliability import reliability
from effmark.analyses.runtime import runtime
from effmark.analyses.speedups import speedups
from effmark.rows import Row

__all__ = ["USUAL", "page_analyses"]

USUAL: Mapping[str, Callable[[Field], Finding]] = {
    "best": lambda field: best_choice(field, ()),
    "iso-quality": iso_quality,
    "iso-budget": iso_budget,
    "speedups": speedups,
    "hypervolume": hypervolumes,
    "reliability": reliability,
    "proxies": proxies,
    "runtime": runtime,
    "power-law": law,
    "exponents": exponents,
}
"""Every analysis with its usual settings, by name."""
_TABLE_ROWS = 40
PAGE_ROWS = 400
"""Of more rows the analyses would take longer than the page; they are told by the command then."""


def page_analyses(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what the page shows of analyses, as plain JSON values; texts are not HTML.

    ```
    {"schema_version": 1,
     "findings": [                        # one per analysis, suite and machine; may be empty
       {"analysis": "best",               # its name in `effmark analyse NAME`
        "title": str, "suite": str, "machine": str,
        "workload": str,                  # of the costs; "" where several take part
        "conclusion": str,                # one sentence
        "caveats": [str, …],              # what it does not say, one sentence each
        "values": {…},                    # the numbers of the conclusion, by name
        "tables": [{"title": str, "columns": [str, …],
                    "rows": [[CELL, …], …],   # at most 40
                    "left_out": int}]}],      # how many more the command has
     "missing": [{"analysis": str, "suite": str, "machine": str, "needs": str}]}

    CELL = {"text": str}                                            # a name or a word
         | {"text": "12.3 ms (12.1–12.6)", "value": 0.0123,         # a number: show text, sort by
            "low": …, "high": …, "unit": "s"}                       # value; bounds may be absent
         | {"text": "–", "missing": REASON, "detail": str}          # show detail on hover
    ```

    `value` may be the text "inf". `missing` lists the analyses that the results do not allow, with
    a sentence on what they need. More than 400 rows give no findings, only that sentence.

    Args:
        rows: what the page shows.
    """
    found: list[dict[str, Any]] = []
    missing: list[dict[str, str]] = []
    if len(rows) > PAGE_ROWS:
        needs = f"{len(rows)} rows are too many here; run `effmark analyse NAME --suite NAME`"
        missing.append({"analysis": "all", "suite": "", "machine": "", "needs": needs})
        return {"schema_version": 1, "findings": [], "missing": missing}
    for field in fields(rows):
        for name, analysis in USUAL.items():
            try:
                found.append(_shortened(finding_json(analysis(field))))
            except TooLittle as error:
                missing.append({"analysis": name, "suite": field.suite, "machine": field.machine,
                                "needs": str(error)})  # fmt: skip
    return {"schema_version": 1, "findings": found, "missing": missing}


def _shortened(finding: dict[str, Any]) -> dict[str, Any]:
    """Return a finding whose tables fit on a page."""
    for table in finding["tables"]:
        table["left_out"] = max(0, len(table["rows"]) - _TABLE_ROWS)
        table["rows"] = table["rows"][:_TABLE_ROWS]
    return finding
