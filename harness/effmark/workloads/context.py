"""What a workload is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from effmark.adapter import Adapter
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.record import (
    Advice,
    Block,
    EnergyReading,
    Measurement,
    Missing,
    ModelFacts,
    Settings,
    StopVerdict,
    Trace,
)
from effmark.spec import Cell

__all__ = ["Context", "Findings"]


@dataclass(frozen=True)
class Context:
    """Everything that a workload may use."""

    adapter: Adapter
    facts: ModelFacts
    cell: Cell
    cache: Path
    counters: ProcessCounters
    energy: EnergyMeter
    settings: Settings
    is_reference: bool
    """Whether this cell's log-probabilities are the reference for KL and top-1 agreement."""
    reference: str
    """Identity of the baseline whose log-probabilities KL and top-1 agreement refer to."""
    progress: Callable[[str], None]
    """Told what is going on, a few times per second at most."""
    sequences: int = 1
    """Most sequences that the adapter was loaded for."""


@dataclass
class Findings:
    """What a workload found; becomes a record."""

    measurements: list[Measurement] = field(default_factory=list)
    energy: list[EnergyReading] = field(default_factory=list)
    energy_missing: list[Missing] = field(default_factory=list)
    traces: tuple[Trace, ...] = ()
    warmup_blocks: list[Block] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    stop: StopVerdict = field(default_factory=lambda: StopVerdict(rule="none"))
    notes: dict[str, str] = field(default_factory=dict)
    advice: list[Advice] = field(default_factory=list)
