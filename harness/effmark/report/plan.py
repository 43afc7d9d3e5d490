"""A plan as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from effmark.plan import Plan, ProcessPlan
from effmark.record import Record
from effmark.report.names import plain
from effmark.units import format_duration, format_quantity

__all__ = ["plan_json", "print_plan"]


def print_plan(plan: Plan, done: Mapping[str, Record]) -> None:
    """Print the processes of a plan with their estimates."""
    table = Table(title=f"{plan.suite.suite} v{plan.suite.version} · {plan.suite.profile}",
                  caption=_caption(plan, done))  # fmt: skip
    for name, justify in (("process", "left"), ("cells", "right"), ("recorded", "right"),
                          ("time", "right"), ("memory", "right"), ("basis", "left")):  # fmt: skip
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for process in plan.processes:
        memory = "?" if process.memory_b is None else "≥ " + format_quantity(process.memory_b, "B")
        table.add_row(escape(plain(process.label)), str(len(process.cells)),
                      str(_recorded(process, done)), format_duration(process.estimate_s), memory,
                      process.problem or process.basis)  # fmt: skip
    Console().print(table)


def plan_json(plan: Plan, done: Mapping[str, Record]) -> dict[str, Any]:
    """Return a plan for machines."""
    return {
        "suite": plan.suite.suite,
        "version": plan.suite.version,
        "profile": plan.suite.profile,
        "estimate_s": plan.estimate_s,
        "processes": [
            {
                "label": process.label,
                "estimate_s": process.estimate_s,
                "basis": process.basis,
                "memory_b": process.memory_b,
                "problem": process.problem,
                "cells": [
                    {"key": cell.key, "workload": cell.workload.label, "recorded": cell.key in done}
                    for cell in process.cells
                ],
            }
            for process in plan.processes
        ],
    }


def _recorded(process: ProcessPlan, done: Mapping[str, Record]) -> int:
    return sum(cell.key in done for cell in process.cells)


def _caption(plan: Plan, done: Mapping[str, Record]) -> str:
    recorded = sum(_recorded(process, done) for process in plan.processes)
    left = sum(p.estimate_s for p in plan.processes if _recorded(p, done) < len(p.cells))
    return (
        f"{len(plan.cells)} cells in {len(plan.processes)} processes, {recorded} recorded; "
        f"about {format_duration(left)} left, conversions aside"
    )
