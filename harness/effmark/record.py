"""What came out of one cell: frozen, self-sufficient, raw.

A record alone is enough to compute every score again and to run the cell again. It holds raw
samples in order; a percentile, J/token or a speed-up is a function applied when reading.

Schema history, newest first:

* 2 (2026-11-28): proofs; cells measured anew on purpose; adapters' bases; few-shot counts that
  nobody asked for are None.
* 1 (2026-11-22): first version.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from effmark.metrics import LARGEST, METRICS, possible
from effmark.schema import Frozen
from effmark.spec import Cell, Decode, Limits, Outcome, Precision, Prefill

__all__ = [
    "FINAL",
    "SCHEMA_VERSION",
    "Advice",
    "Block",
    "EnergyReading",
    "Environment",
    "Measured",
    "Measurement",
    "Missing",
    "ModelFacts",
    "Outcome",
    "Proof",
    "Rate",
    "RatesUsed",
    "Reason",
    "Record",
    "Settings",
    "StopVerdict",
    "SuiteRef",
    "Trace",
    "Validity",
]

SCHEMA_VERSION = 2

Reason = Literal[
    "not_supported",
    "not_permitted",
    "not_present",
    "not_applicable",
    "too_few_samples",
    "undefined",
    "rejected",
    "failed",
]
"""Why a number is missing: the one closed list."""

FINAL: frozenset[Outcome] = frozenset({"ok", "oom", "unsupported", "skipped"})
"""Outcomes that a resumed run keeps; the others are tried again."""

Validity = Literal["valid", "suspect", "invalid"]

Finite = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
"""A number that can be squared and summed."""
Amount = Annotated[float, Field(ge=0, le=LARGEST)]
Moment = Annotated[float, Field(ge=-1e12, le=1e12)]
"""Seconds on the clock of a record; 1e12 are 30,000 years."""
Duration = Annotated[float, Field(ge=0, le=1e12)]
_LEAST = 1 / LARGEST
"""What is divided by is nothing at all or this much."""


def _divides(amount: float) -> float:
    if 0 < amount < _LEAST:
        raise ValueError(f"{amount!r} is too little to divide by")
    return amount


_ROUNDING = 1e-6
"""Relative difference of two ways to compute one time, and its least value in seconds."""
_MOST = 1 << 62
"""Largest count; a counter of the kernel has 64 bits."""


class Measured(Frozen):
    """A number that was measured: raw samples and how they become one value."""

    kind: Literal["measured"] = "measured"
    metric: str
    """Name in the table of metrics."""
    unit: str
    samples: tuple[Finite, ...] = Field(min_length=1)
    """Raw values in the order of measurement, unrounded; numerators where `weights` is given."""
    weights: tuple[Amount, ...] | None = None
    """Denominators (bytes, tokens …) of the samples; the value is then a ratio of sums."""
    estimator: Literal["median", "mean", "ratio", "exp_ratio", "max"] = "median"
    """How samples become the value: `ratio` is sum(samples) / sum(weights), `exp_ratio` its exp."""
    source: str
    """Where it comes from: `clock`, `proc`, `analytic`, `lm_eval`, `logits`, a probe's name …"""
    group: tuple[str, ...] | None = None
    """What each sample belongs to (a task, a document), where that matters."""

    @model_validator(mode="after")
    def _is_possible(self) -> Measured:
        n, row = len(self.samples), METRICS.get(self.metric)
        for name, others in (("weights", self.weights), ("group", self.group)):
            if others is not None and len(others) != n:
                raise ValueError(f"{self.metric}: {len(others)} {name} for {n} samples")
        if row is not None and self.unit != row.unit:
            raise ValueError(f"{self.metric}: unit {self.unit!r}, wants {row.unit!r}")
        if self.weights is not None:
            _divides(min(filter(None, self.weights), default=1.0))
        low, high = possible(self.metric)
        for value in self._extremes():
            if not low <= value <= high:
                raise ValueError(f"{self.metric}: {value!r}, wants {low:g} to {high:g}")
        return self

    def _extremes(self) -> tuple[float, float]:
        """Return the smallest and the largest sample; of a ratio those of the quotients."""
        if self.weights is None:
            return min(self.samples), max(self.samples)
        quotients = []
        for sample, weight in zip(self.samples, self.weights, strict=True):
            if weight == 0 and sample != 0 and not self.metric.startswith("cost_of_pass"):
                raise ValueError(f"{self.metric}: {sample!r} of nothing: its weight is 0")
            quotients.append(sample / (weight or 1.0))
        return min(quotients), max(quotients)


class Missing(Frozen):
    """A number that is not there, and why."""

    kind: Literal["missing"] = "missing"
    metric: str
    reason: Reason
    detail: str
    """What was tried and the one thing that would change it."""


Measurement = Annotated[Measured | Missing, Field(discriminator="kind")]


class EnergyReading(Frozen):
    """The energy of one window, with its provenance and error bounds."""

    joules: Amount
    """Gross energy of the window."""
    net_joules: Finite | None = None
    """Gross less the measured idle power x window; None where no baseline was taken."""
    idle_w: Amount | None = None
    """Mean power of the idle baseline."""
    source: Literal["hw_counter", "hw_power_integrated", "external_meter", "model_estimate"]
    scope: str
    """`gpu_board`, `package`, `dram`, `psys`, `wall`, `machine`, `rail:NAME` …"""
    probe: str
    device_id: str
    start_s: Moment
    """Start of the window on the record's clock (the clock of the blocks)."""
    end_s: Moment
    updates_count: int | None = Field(default=None, ge=0)
    update_period_s: Amount | None = None
    max_gap_s: Amount | None = None
    err_window_rel: Amount | None = None
    """Bound on the relative error of the window itself."""
    err_sys_rel: Amount | None = None
    """Relative error of the sensor or the model."""
    cross_check_rel: Finite | None = None
    """Counter against integrated power: (counter - integral) / integral."""
    units: dict[str, Annotated[Amount, AfterValidator(_divides)]] = {}
    """Work done inside the window by interpolation: output_tokens, input_tokens, images …"""
    reasons: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_in_order(self) -> EnergyReading:
        if self.end_s < self.start_s:
            raise ValueError(f"window ends at {self.end_s!r} s, before its start {self.start_s!r}")
        return self


class Rate(Frozen):
    """What one unit of energy or time costs, with its origin."""

    value: float = Field(gt=0, le=LARGEST)
    unit: str
    """`g/kWh`, `USD/kWh`, `USD/h`."""
    source: str
    date: str


class RatesUsed(Frozen):
    """What carbon and money are computed with; a rate that is unknown is None, with the reason."""

    carbon: Rate | None = None
    """Grams of CO2 equivalent per kWh."""
    electricity: Rate | None = None
    """USD per kWh."""
    device: Rate | None = None
    """USD per hour of all devices of the cell together."""
    unknown: dict[str, str] = {}
    """By the name of the field: what was looked for, and what would make it known."""


class Trace(Frozen):
    """A quantity over time while the load ran, in slots of equal length: for drawing only."""

    quantity: Literal["memory_b", "device_memory_b", "power_w", "clock_hz", "temperature_c"]
    source: str
    """What was read: `proc`, `cpufreq`, a probe with its scope or device …"""
    start_s: Moment
    """Start of the first slot on the record's clock (the clock of the blocks)."""
    slot_s: float = Field(gt=0, le=1e12)
    """Length of a slot."""
    period_s: float = Field(gt=0, le=1e12)
    """Spacing of the reads; what is shorter may be missing."""
    keeps: Literal["max", "mean"]
    """What a slot holds of the reads that fell into it."""
    values: tuple[Finite | None, ...] = Field(max_length=200)
    """One per slot; None where nothing was read."""


class Block(Frozen):
    """One timed request or batch, with the moments at which the host got its results."""

    start_s: Moment
    """Start on the monotonic clock, relative to the first block of the record."""
    end_s: Moment
    steps_s: tuple[Duration, ...]
    """When each step's results were on the host, relative to `start_s`; one token per sequence."""
    sequences: int = Field(default=1, ge=1, le=_MOST)
    """Sequences (or images) that ran together in this block."""
    cpu_s: Duration | None = None
    """User and system CPU time of the process during the block."""
    instructions: int | None = Field(default=None, ge=0, le=_MOST)
    """User-mode instructions of all threads of the process during the block."""
    cycles: int | None = Field(default=None, ge=0, le=_MOST)

    @model_validator(mode="after")
    def _is_in_order(self) -> Block:
        if self.end_s < self.start_s:
            raise ValueError(f"block ends at {self.end_s!r} s, before its start {self.start_s!r}")
        steps = self.steps_s
        if list(steps) != sorted(steps):
            raise ValueError("steps are not in the order of time")
        longest_s = (self.end_s - self.start_s) * (1 + _ROUNDING) + _ROUNDING
        if steps and steps[-1] > longest_s:
            raise ValueError(f"the last step, at {steps[-1]!r} s, lies behind the end of the block")
        return self


class Advice(Frozen):
    """A finding about the trustworthiness of a record, with its remedy."""

    code: str
    """Stable short name: `noisy_host`, `not_steady`, `estimate_only` …"""
    severity: Literal["info", "suspect", "invalid"]
    message: str
    remedy: str


class StopVerdict(Frozen):
    """Why measuring ended, and when the steady state began."""

    rule: Literal["precision", "budget", "count", "none"]
    """`precision`: the wanted half-width was reached; `budget`: time was up; `count`: fixed."""
    rel_half_width: float | None = None
    """Relative half-width of the interval of the median when measuring ended."""
    confidence: float = 0.95
    steady: Literal["reached", "never_reached", "unknown", "not_applicable"] = "not_applicable"
    """`unknown`: the budget allowed too few blocks to tell."""


class Settings(Frozen):
    """How long and how precisely a cell was to be measured."""

    precision: Precision = Precision()
    budget_s: float | None = None
    """Seconds of measuring that this cell was given; None: until precise."""
    min_blocks: int = 6
    max_blocks: int = 1000
    limits: Limits = Limits()
    """After which the cell would have counted as hung or as too large."""


class ModelFacts(Frozen):
    """What an adapter knows about the model that it loaded."""

    parameters: int = Field(gt=0, le=_MOST)
    """Number of weights, tied ones once."""
    weights_b: int = Field(gt=0, le=_MOST)
    """Bytes of all weights as the runtime holds them, scales included, tied ones once."""
    file_b: int = Field(gt=0, le=_MOST)
    """Bytes on disk of what the runtime loads."""
    effective_bits: float = Field(gt=0, le=LARGEST)
    """8 x weights_b / parameters."""
    kernel: Literal["native", "emulated"]
    """`emulated`: low-bit weights are expanded before the arithmetic; no claim on speed."""
    weights: Literal["trained", "random"]
    weights_source: str
    """Where the full-precision weights come from, `bf16` or for example `dequantised Q4_1`."""
    kv_bytes_per_token: int | None = Field(default=None, ge=0, le=_MOST)
    """Bytes that each token adds to the cache while it fits into every window."""
    kv_window_bytes_per_token: int = Field(default=0, ge=0, le=_MOST)
    """How many of them are in layers that keep the last `kv_window_tokens` only."""
    kv_window_tokens: int | None = Field(default=None, ge=1, le=_MOST)
    """Length of the sliding windows; None where no layer has one."""
    kv_state_b: int = Field(default=0, ge=0, le=_MOST)
    """Bytes that a sequence holds whatever its length: states of recurrent layers."""
    flops_per_unit: Amount | None = None
    """FLOPs per decoded token (empty context) or per image; 2 per multiply-add."""
    context_tokens: int | None = Field(default=None, ge=0)
    """Longest context in tokens."""
    config: dict[str, int | float | str | bool | None] = {}
    """The architecture in the keys of a Hugging Face config.json."""
    quantisation: dict[str, int | float | str | bool | None] = {}
    """Bits of matrices, embedding and head, group size, symmetry, activations."""
    runtime: dict[str, int | float | str | bool | None] = {}
    """Version, threads, execution provider, kernel names of the runtime."""
    unknown: dict[str, str] = {}
    """Why `flops` or `kv` are not known, where they are not."""

    def kv_cache_b(self, tokens: float) -> float | None:
        """Return the bytes that a sequence of so many tokens holds; None where it is not known."""
        if self.kv_bytes_per_token is None:
            return None
        kept = tokens if self.kv_window_tokens is None else min(tokens, self.kv_window_tokens)
        growing = (self.kv_bytes_per_token - self.kv_window_bytes_per_token) * tokens
        return growing + self.kv_window_bytes_per_token * kept + self.kv_state_b


class Proof(Frozen):
    """Whether what was measured computes the model that it was made from."""

    status: Literal["proven", "collapsed", "unproven"]
    """`collapsed`: at low precision little of the model is left. `unproven`: no reference to hold
    it against."""
    detail: str = ""
    """What has collapsed, or why there is no reference."""
    against: str = ""
    """The reference: the source model, or the same runtime at full precision."""
    paths: tuple[str, ...] = ()
    """What was compared."""
    largest_difference_ratio: float | None = None
    """Largest difference of a log-probability / the largest of the reference's."""
    kl_nats: float | None = None
    """Mean KL(reference || this) over the tokens of a short text."""
    top1_agreement_ratio: float | None = None
    """Share of these tokens whose most likely prediction is the reference's."""


class Environment(Frozen):
    """The machine and the software that a record comes from."""

    host: str
    system: str
    cpu: str
    cores_count: int | None
    """None where another tool measured and did not say."""
    memory_b: int | None
    accelerators: tuple[str, ...] = ()
    python: str
    packages: dict[str, str] = {}
    git_revision: str | None = None
    git_dirty: bool | None = None
    variables: dict[str, str] = {}
    """Environment variables that the worker set for itself."""
    state: dict[str, str | int | float | bool] = {}
    """Governor, turbo, PSI, steal, affinity … as read around the window."""
    unknown: dict[str, str] = {}
    """State that could not be read, with the reason."""

    @property
    def device_class(self) -> str:
        """Return what must be equal for timings to compare: CPU, cores, accelerators."""
        cores = "" if self.cores_count is None else f" x{self.cores_count}"
        return " + ".join((f"{self.cpu}{cores}", *self.accelerators))


class SuiteRef(Frozen):
    """Which suite asked for a cell."""

    name: str
    version: int
    sha256: str
    profile: str


class Record(Frozen):
    """The outcome of one cell."""

    schema_version: int = SCHEMA_VERSION
    id: str
    """Unique name of this line."""
    run_id: str
    process_id: str
    """Same for all cells that one worker process measured."""
    created: str
    """Wall-clock time (UTC, ISO 8601) at which the cell ended; orders nothing."""
    suite: SuiteRef
    cell: Cell
    settings: Settings = Settings()
    is_baseline: bool = False
    """Whether this is what the suite compares with: the reference of speed-up and KL."""
    foreign: str = ""
    """The tool that measured this, where it was imported: by its rules, so it has no rank. Empty
    for what effmark measured itself."""
    outcome: Outcome
    detail: str = ""
    """For outcomes other than ok: what happened, in one sentence."""
    fresh: bool = False
    """Whether the cell was measured anew on purpose (`--fresh`): then a failure, too, replaces what
    was there before."""
    validity: Validity = "valid"
    advice: tuple[Advice, ...] = ()
    facts: ModelFacts | None = None
    proof: Proof | None = None
    """None where there are no model files, or in a record from before there were proofs."""
    environment: Environment | None = None
    measurements: tuple[Measurement, ...] = ()
    energy: tuple[EnergyReading, ...] = ()
    energy_missing: tuple[Missing, ...] = ()
    rates: RatesUsed | None = None
    """Carbon intensity and prices at the place of the run; None where nobody asked for them."""
    traces: tuple[Trace, ...] = ()
    """Memory, power and clocks of the steady blocks over time."""
    warmup_blocks: tuple[Block, ...] = ()
    blocks: tuple[Block, ...] = ()
    stop: StopVerdict = StopVerdict(rule="none")
    notes: dict[str, str] = {}
    """Text that explains numbers: task versions, the reference of KL, honesty notes."""
    command: str = ""
    """The command that repeats this cell."""
    interleaved: str = ""
    """Shared by cells whose blocks took turns: block i of one was measured next to block i of
    the others. Empty for a cell that was measured alone."""
    elapsed_s: float | None = Field(default=None, ge=0, le=1e9)
    """Wall time that the cell took in all, warm-up and quality included."""

    @model_validator(mode="after")
    def _is_possible(self) -> Record:
        year = datetime.datetime.fromisoformat(self.created).year
        if not 1970 <= year < 9999:
            raise ValueError(f"created in the year {year}, wants 1970 or later")
        if isinstance(self.cell.workload, Decode | Prefill):
            for place, block in enumerate(self.blocks):
                if not block.steps_s:
                    raise ValueError(f"blocks.{place}: no steps; a request gives one token or more")
        return self

    def measurement(self, name: str) -> Measured | Missing | None:
        """Return the measurement of a metric, if this record has one."""
        return next((m for m in self.measurements if m.metric == name), None)
