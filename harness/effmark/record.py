"""What came out of one cell: frozen, self-sufficient, raw.

A record alone is enough to compute every score again and to run the cell again. It holds raw
samples in order; a percentile, J/token or a speed-up is a function applied when reading.

Schema history, newest first:

* 2 (2026-11-28): proofs; cells measured anew on purpose; adapters' bases; few-shot counts that
  nobody asked for are None.
* 1 (2026-11-22): first version.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from effmark.schema import Frozen
from effmark.spec import Cell, Limits, Outcome, Precision

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


class Measured(Frozen):
    """A number that was measured: raw samples and how they become one value."""

    kind: Literal["measured"] = "measured"
    metric: str
    """Name in the table of metrics."""
    unit: str
    samples: tuple[float, ...] = Field(min_length=1)
    """Raw values in the order of measurement, unrounded; numerators where `weights` is given."""
    weights: tuple[float, ...] | None = None
    """Denominators (bytes, tokens …) of the samples; the value is then a ratio of sums."""
    estimator: Literal["median", "mean", "ratio", "exp_ratio", "max"] = "median"
    """How samples become the value: `ratio` is sum(samples) / sum(weights), `exp_ratio` its exp."""
    source: str
    """Where it comes from: `clock`, `proc`, `analytic`, `lm_eval`, `logits`, a probe's name …"""
    group: tuple[str, ...] | None = None
    """What each sample belongs to (a task, a document), where that matters."""


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

    joules: float = Field(ge=0)
    """Gross energy of the window."""
    net_joules: float | None = None
    """Gross less the measured idle power x window; None where no baseline was taken."""
    idle_w: float | None = None
    """Mean power of the idle baseline."""
    source: Literal["hw_counter", "hw_power_integrated", "external_meter", "model_estimate"]
    scope: str
    """`gpu_board`, `package`, `dram`, `psys`, `wall`, `machine`, `rail:NAME` …"""
    probe: str
    device_id: str
    start_s: float
    """Start of the window on the record's clock (the clock of the blocks)."""
    end_s: float
    updates_count: int | None = None
    update_period_s: float | None = None
    max_gap_s: float | None = None
    err_window_rel: float | None = None
    """Bound on the relative error of the window itself."""
    err_sys_rel: float | None = None
    """Relative error of the sensor or the model."""
    cross_check_rel: float | None = None
    """Counter against integrated power: (counter - integral) / integral."""
    units: dict[str, float] = {}
    """Work done inside the window by interpolation: output_tokens, input_tokens, images …"""
    reasons: tuple[str, ...] = ()


class Rate(Frozen):
    """What one unit of energy or time costs, with its origin."""

    value: float = Field(gt=0)
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
    start_s: float
    """Start of the first slot on the record's clock (the clock of the blocks)."""
    slot_s: float = Field(gt=0)
    """Length of a slot."""
    period_s: float = Field(gt=0)
    """Spacing of the reads; what is shorter may be missing."""
    keeps: Literal["max", "mean"]
    """What a slot holds of the reads that fell into it."""
    values: tuple[float | None, ...] = Field(max_length=200)
    """One per slot; None where nothing was read."""


class Block(Frozen):
    """One timed request or batch, with the moments at which the host got its results."""

    start_s: float
    """Start on the monotonic clock, relative to the first block of the record."""
    end_s: float
    steps_s: tuple[float, ...]
    """When each step's results were on the host, relative to `start_s`; one token per sequence."""
    sequences: int = 1
    """Sequences (or images) that ran together in this block."""
    cpu_s: float | None = None
    """User and system CPU time of the process during the block."""
    instructions: int | None = None
    """User-mode instructions of all threads of the process during the block."""
    cycles: int | None = None


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

    parameters: int = Field(gt=0)
    """Number of weights, tied ones once."""
    weights_b: int = Field(gt=0)
    """Bytes of all weights as the runtime holds them, scales included, tied ones once."""
    file_b: int = Field(gt=0)
    """Bytes on disk of what the runtime loads."""
    effective_bits: float = Field(gt=0)
    """8 x weights_b / parameters."""
    kernel: Literal["native", "emulated"]
    """`emulated`: low-bit weights are expanded before the arithmetic; no claim on speed."""
    weights: Literal["trained", "random"]
    weights_source: str
    """Where the full-precision weights come from, `bf16` or for example `dequantised Q4_1`."""
    kv_bytes_per_token: int | None = None
    flops_per_unit: float | None = None
    """FLOPs per decoded token (empty context) or per image; 2 per multiply-add."""
    context_tokens: int | None = None
    """Longest context in tokens."""
    config: dict[str, int | float | str | bool | None] = {}
    """The architecture in the keys of a Hugging Face config.json."""
    quantisation: dict[str, int | float | str | bool | None] = {}
    """Bits of matrices, embedding and head, group size, symmetry, activations."""
    runtime: dict[str, int | float | str | bool | None] = {}
    """Version, threads, execution provider, kernel names of the runtime."""


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
    elapsed_s: float | None = None
    """Wall time that the cell took in all, warm-up and quality included."""

    def measurement(self, name: str) -> Measured | Missing | None:
        """Return the measurement of a metric, if this record has one."""
        return next((m for m in self.measurements if m.metric == name), None)
