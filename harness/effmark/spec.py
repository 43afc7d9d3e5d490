"""What was asked: suites, models, workloads, cells; parsed once, then frozen, and never code.

A suite is YAML. Lists inside a workload are sweeps: `decode: {prompt_tokens: [32, 256]}` is two
workloads. Every profile may replace top-level keys of the suite, whole.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from effmark.metrics import LARGEST
from effmark.schema import Frozen, content_hash

__all__ = [
    "Budget",
    "Call",
    "Cell",
    "CellGroup",
    "Code",
    "Decode",
    "Infer",
    "Labels",
    "Ledger",
    "Limits",
    "ModelRef",
    "OptionValue",
    "Outcome",
    "Precision",
    "Prefill",
    "Quality",
    "Rates",
    "Scaling",
    "Suite",
    "SuiteWorkload",
    "Tasks",
    "Text",
    "Workload",
]

OptionValue = bool | int | float | str
Outcome = Literal["ok", "oom", "crash", "timeout", "unsupported", "failed_setup", "skipped"]
"""How a cell ended; every one of them is a result."""
Count = Annotated[int, Field(gt=0)]


class ModelRef(Frozen):
    """A model that was found, with what identifies it."""

    name: str
    """What people read: `default`, `effmark-1m`, the name of a folder or file, a hub id."""
    task: Literal["lm", "classifier", "synthetic"]
    kind: Literal["gguf", "hf", "digits", "synthetic", "solutions"]
    """`gguf`: one file; `hf`: a Hugging Face folder; `digits`: trained here in seconds;
    `solutions`: known only by the file of what it generated, or of what it spent."""
    path: Path | None = None
    sha256: str
    """Hash of the source: of the file, or of the sorted hashes of the folder's files."""
    weights_source: str = "as given"
    """What the full-precision weights really are; `dequantised Q4_1` carries no quality claim."""
    quantised: str = ""
    """By what method the files themselves are quantised, `gptq` say; empty where they are not."""
    trust_remote_code: bool = False
    """Whether Python code of the folder may run; true only where the folder has some."""
    base: ModelRef | None = None
    """Whose weights a folder with a LoRA adapter changes; None of any other model."""

    @property
    def weights_path(self) -> Path | None:
        """Return where the weights lie: of an adapter, those of its base."""
        return self.path if self.base is None else self.base.path

    @property
    def identity(self) -> dict[str, Any]:
        """Return what tells models apart: not where they lie, nor what nobody asked for."""
        body = self.model_dump(mode="json", exclude={"path", "base"})
        return {k: v for k, v in body.items() if v or k not in ("quantised", "trust_remote_code")}


class Decode(Frozen):
    """Continue prompts: latency, inter-token gaps, throughput."""

    kind: Literal["decode"] = "decode"
    prompt_tokens: Count
    new_tokens: Count
    batch: Count = 1

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"decode p{self.prompt_tokens} n{self.new_tokens} b{self.batch}"


class Prefill(Frozen):
    """Read a prompt and give one token: time to first token, prompt throughput."""

    kind: Literal["prefill"] = "prefill"
    prompt_tokens: Count
    batch: Count = 1

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"prefill p{self.prompt_tokens} b{self.batch}"


class Infer(Frozen):
    """Map a batch of inputs to outputs: latency, throughput."""

    kind: Literal["infer"] = "infer"
    batch: Count = 1

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"infer b{self.batch}"


class Text(Frozen):
    """Score held-out text: bits per byte, KL and top-1 agreement with the reference."""

    kind: Literal["text"] = "text"
    name: str
    """A text that the installed suites bring, or the path of a UTF-8 file."""
    tokens: Count
    """At most this many tokens, from the start of the text."""
    context_tokens: Count = 128
    """Length of the windows into which the text is cut; windows are what intervals resample."""
    sha256: str = ""
    """Hash of the text; set when planning, so that an edited text is a new cell."""

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"text {Path(self.name).stem} t{self.tokens} c{self.context_tokens}"


class Tasks(Frozen):
    """Accuracy by lm-eval."""

    kind: Literal["tasks"] = "tasks"
    name: str
    """A task or group that lm-eval knows, one that the installed suites bring, or a YAML path."""
    limit: Count | None = None
    """At most this many items per task; None for all."""
    fewshot: int | None = Field(default=None, ge=0)
    """Solved examples before each item; None: as many as the task itself says."""
    context_tokens: Count = 2048
    """Room for an item; longer ones lose their beginning, as with lm-eval's own models."""
    batch: Count = 1
    """At least so many prompts are continued together."""
    chat: bool = False
    """Whether items are put into the chat template of the model."""
    sha256: str = ""
    """Hash of the files of a local task; set when planning."""

    @property
    def label(self) -> str:
        """Return the name that people read."""
        limit = f" l{self.limit}" if self.limit else ""
        fewshot = "" if self.fewshot is None else f" f{self.fewshot}"
        is_file = self.name.endswith((".yaml", ".yml"))
        name = Path(self.name).stem if is_file else self.name
        return f"tasks {name}{limit}{fewshot}{' chat' if self.chat else ''}"


class Labels(Frozen):
    """Accuracy of a classifier on held-out labelled inputs."""

    kind: Literal["labels"] = "labels"
    name: Literal["digits"] = "digits"

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"labels {self.name}"


class Call(Frozen):
    """Call a Python callable, or pass once through a marked window of a test; never in a suite."""

    kind: Literal["callable"] = "callable"
    name: str

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"call {self.name}"


class Code(Frozen):
    """Solve programming problems: eff@k, pass@k, DPS of generated solutions."""

    kind: Literal["code"] = "code"
    problems: str
    """A problem set: `humaneval`, `effmark`, or a path."""
    n: Count
    """Samples of the problem that has fewest."""
    clock: Literal["instructions", "cpu"] = "cpu"
    """What time was counted in; scores of different clocks do not compare."""
    limit: Count | None = None
    """At most this many problems, evenly spread over the set; None for all."""
    new_tokens: Count | None = None
    """Most tokens that a model may write per solution; None: the solutions were recorded."""
    temperature: float = Field(default=0.8, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    batch: Count = 1
    """Problems that are written together."""

    @property
    def label(self) -> str:
        """Return the name that people read."""
        limit = f" l{self.limit}" if self.limit else ""
        return f"code {Path(self.problems).stem}{limit} n{self.n} {self.clock}"


class Scaling(Frozen):
    """Answer sums several times and choose: what more samples buy, and what they cost."""

    kind: Literal["scaling"] = "scaling"
    questions: Count = 32
    n: Count = 8
    """Samples per question."""
    largest: Count = 9
    """Largest number in a sum."""
    new_tokens: Count = 4
    temperature: float = Field(default=0.8, gt=0)
    batch: Count = 8
    """Questions that are answered together."""
    seed: int = 0

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return f"scaling sums to {self.largest} q{self.questions} n{self.n}"


class Ledger(Frozen):
    """Calls of a model that were made elsewhere: what a right answer cost; never in a suite."""

    kind: Literal["ledger"] = "ledger"
    problems: Count
    problems_sha256: str
    """Hash of the sorted names of the problems; costs of other problems do not compare."""
    n: Count
    """Attempts at the problem that has fewest."""
    prices: str
    """Where USD come from: a table and its version, an hour of the machine, the ledger itself."""

    @property
    def label(self) -> str:
        """Return the name that people read."""
        which = f"{self.problems} problems {self.problems_sha256[:6]}"
        return f"cost {which} n{self.n}, prices {self.prices}"


SuiteWorkload = Annotated[
    Decode | Prefill | Infer | Text | Tasks | Labels | Code | Scaling, Field(discriminator="kind")
]
"""What a suite can ask for."""
Workload = Annotated[
    Decode | Prefill | Infer | Text | Tasks | Labels | Call | Code | Scaling | Ledger,
    Field(discriminator="kind"),
]
_KINDS: dict[str, type[Frozen]] = {
    "decode": Decode,
    "prefill": Prefill,
    "infer": Infer,
    "text": Text,
    "tasks": Tasks,
    "labels": Labels,
    "code": Code,
    "scaling": Scaling,
}


class CellGroup(Frozen):
    """An adapter with the precisions and options to run it at."""

    adapter: str
    precision: tuple[str, ...] = Field(min_length=1)
    device: str = "cpu"
    options: dict[str, OptionValue] = {}

    @field_validator("precision", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class Baseline(Frozen):
    """What speed-up, compression and retention are relative to."""

    adapter: str
    precision: str


class Precision(Frozen):
    """When the samples are enough."""

    rel_half_width: float = Field(default=0.02, gt=0, lt=1)
    """Wanted half-width of the interval, relative to the value."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class Budget(Frozen):
    """How long measuring may take; the budget comes first, precision second."""

    process_s: float | None = Field(default=None, gt=0)
    """Seconds of measuring per worker process, shared by its workloads; None: no budget."""
    min_blocks: Count = 6
    """Blocks that are measured even when the budget is used up; 5 give no interval at 95 %."""
    max_blocks: Count = 1000

    @model_validator(mode="after")
    def _in_order(self) -> Budget:
        if self.min_blocks > self.max_blocks:
            raise ValueError(f"min_blocks {self.min_blocks} exceeds max_blocks {self.max_blocks}")
        return self


class Limits(Frozen):
    """After which a cell counts as hung or as too large."""

    prepare_s: float = Field(default=1800, gt=0)
    load_s: float = Field(default=600, gt=0)
    cell_s: float = Field(default=900, gt=0)
    memory_b: Count | None = None
    """Address-space-free limit on resident memory of a worker; None: what the machine has."""


class Quality(Frozen):
    """What quality is measured by."""

    text: tuple[Text, ...] = ()
    tasks: tuple[Tasks, ...] = ()
    labels: tuple[Labels, ...] = ()


class Rates(Frozen):
    """What energy and time cost where a suite runs.

    What is not given is looked up in the tables that ship with effmark, by country and device;
    what they do not know either is missing. Rates change no measurement and no cell.
    """

    country: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    """Where the machine stands, ISO 3166-1 alpha-3; default `$EFFMARK_COUNTRY`."""
    year: int | None = Field(default=None, ge=1990, le=2100)
    """The newest figures not after this year; default the newest."""
    g_per_kwh: float | None = Field(default=None, gt=0, le=LARGEST)
    """Grams of CO2 equivalent per kWh."""
    usd_per_kwh: float | None = Field(default=None, gt=0, le=LARGEST)
    usd_per_device_hour: float | None = Field(default=None, gt=0, le=LARGEST)
    """Of each accelerator of a cell; of the whole machine where the cell runs on the CPU."""
    source: str = Field(default="given by the suite", min_length=1)
    """Where figures given here come from."""
    date: str = ""
    """Of figures given here."""


class Suite(Frozen):
    """Which models, adapters, precisions and workloads, and why."""

    suite: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: Count
    """Rises whenever old and new results stop being comparable."""
    why: str = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    cells: tuple[CellGroup, ...] = Field(min_length=1)
    workloads: tuple[SuiteWorkload, ...] = ()
    quality: Quality = Quality()
    workloads_for: dict[str, tuple[Literal["workloads", "text", "tasks", "labels"], ...]] = {}
    """For a model of the list: which of the workloads and quality parts it runs; default all."""
    baseline: Baseline | None = None
    precision: Precision = Precision()
    budget: Budget = Budget()
    limits: Limits = Limits()
    threads: Count | None = None
    """Threads per worker; None: one per physical core that this process may use."""
    allow: tuple[Outcome, ...] = ("ok", "unsupported", "failed_setup", "skipped")
    """Outcomes with which the run still ends with exit code 0."""
    rates: Rates = Rates()
    """Carbon and prices; not part of what is asked for, so not of the hash."""
    profile: str = "default"

    @field_validator("workloads", mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return tuple(itertools.chain.from_iterable(_sweep(entry) for entry in value))

    @model_validator(mode="after")
    def _models_exist(self) -> Suite:
        for name in self.workloads_for:
            if name not in self.models:
                raise ValueError(f"workloads_for names {name!r}, which is not in models")
        if self.baseline is not None and self.baseline_group is None:
            raise ValueError(
                f"baseline {self.baseline.adapter} {self.baseline.precision} is none of the cells"
            )
        labels = [w.label for name in self.models for w in self.workloads_of(name)]
        if len(labels) > len(self.models) * len(set(labels)):
            twice = next(label for label in labels if labels.count(label) > len(self.models))
            raise ValueError(f"workload {twice!r} stands twice")
        if not self.workloads and not any(
            (self.quality.text, self.quality.tasks, self.quality.labels)
        ):
            raise ValueError("nothing to measure: give workloads or quality")
        return self

    @property
    def baseline_group(self) -> CellGroup | None:
        """Return the cells that the baseline is among, those without options first."""
        if self.baseline is None:
            return None
        wanted = self.baseline
        groups = [
            g for g in self.cells if g.adapter == wanted.adapter and wanted.precision in g.precision
        ]
        return min(groups, key=lambda g: len(g.options), default=None)

    @property
    def sha256(self) -> str:
        """Return the hash of everything that was asked for."""
        return content_hash(self.model_dump(mode="json", exclude={"rates"}))

    def workloads_of(self, model: str) -> Iterator[Workload]:
        """Yield what a model of this suite runs: quality last, so that cost comes first."""
        parts = self.workloads_for.get(model, ("workloads", "text", "tasks", "labels"))
        if "workloads" in parts:
            yield from self.workloads
        if "text" in parts:
            yield from self.quality.text
        if "tasks" in parts:
            yield from self.quality.tasks
        if "labels" in parts:
            yield from self.quality.labels


def _sweep(entry: Any) -> Iterator[Any]:
    """Yield the workloads of one YAML entry, `{decode: {batch: [1, 4]}}` two of them."""
    if isinstance(entry, Frozen) or not isinstance(entry, dict) or "kind" in entry:
        yield entry
        return
    if len(entry) != 1:
        raise ValueError(f"a workload is one key with its settings, got {sorted(entry)}")
    kind, settings = next(iter(entry.items()))
    if kind not in _KINDS:
        close = difflib.get_close_matches(str(kind), _KINDS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"unknown workload {kind!r}; {hint}known: {', '.join(_KINDS)}")
    settings = settings or {}
    if not isinstance(settings, dict):
        raise ValueError(f"workload {kind!r} needs settings, got {settings!r}")
    empty = [name for name, value in settings.items() if value in ([], ())]
    if empty:
        raise ValueError(f"workload {kind!r}: {empty[0]} is an empty list")
    names = list(settings)
    values = [v if isinstance(v, list | tuple) else [v] for v in settings.values()]
    many = math.prod(map(len, values))
    if many > _MOST_COMBINATIONS:
        raise ValueError(
            f"workload {kind!r}: {many} combinations, wants at most {_MOST_COMBINATIONS}"
        )
    for combination in itertools.product(*values):
        yield {"kind": kind, **dict(zip(names, combination, strict=True))}


_MOST_COMBINATIONS = 10_000
"""Of one entry; more would not be measured in years."""


class Cell(Frozen):
    """One point of a suite; its key is the hash of its content."""

    model: ModelRef
    adapter: str
    adapter_version: str = ""
    """Distribution and version that the adapter comes from."""
    precision: str
    device: str
    threads: Count
    options: dict[str, OptionValue] = {}
    workload: Workload
    suite_sha256: str
    repetition: int = 0

    @property
    def key(self) -> str:
        """Return what identifies this cell in the journal; not its time, host or attempt."""
        return content_hash({**self.model_dump(mode="json"), "model": self.model.identity})

    @property
    def process(self) -> tuple[str, str, str, str, str, int]:
        """Return what cells must share to run in one worker process."""
        options = ",".join(f"{k}={v}" for k, v in sorted(self.options.items()))
        return (
            self.model.name,
            self.adapter,
            self.precision,
            self.device,
            options,
            self.repetition,
        )

    @property
    def name(self) -> tuple[str, ...]:
        """Return what a user calls this cell by; repetitions and editions of a suite share it."""
        return (*self.process[:5], self.workload.label)
