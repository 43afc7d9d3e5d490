"""pytest-benchmark JSON, read: every benchmark a foreign record of a call.

Where the file keeps `data`, all rounds come in; where it does not (`--benchmark-save` without
`--benchmark-save-data`), the median comes as a single sample, without an interval. Files that
effmark wrote come back with the same times; what stands in `extra_info` stays there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from effmark.errors import SpecError
from effmark.exchange.foreign import Imported, machine, parsed, read_json, series
from effmark.record import Environment
from effmark.spec import Call

__all__ = ["read_pytest_benchmark"]

_TOOL = "pytest-benchmark"


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class _Stats(_Part):
    median: float = Field(gt=0)
    rounds: int = Field(gt=0)
    data: list[float] = []


class _Benchmark(_Part):
    name: str
    fullname: str
    group: str | None = None
    stats: _Stats


class _Document(_Part):
    machine_info: dict[str, Any] = {}
    commit_info: dict[str, Any] = {}
    benchmarks: list[_Benchmark]
    datetime: str = ""
    version: str = ""


def read_pytest_benchmark(path: Path) -> Iterator[Imported]:
    """Yield what each benchmark of a file says.

    Raises:
        SpecError: not such a file, or a time that cannot be.
    """
    document = parsed(_Document, read_json(path), path, "")
    if not document.benchmarks:
        raise SpecError(f"report {str(path)!r} holds no benchmark")
    for benchmark in document.benchmarks:
        times = benchmark.stats.data or [benchmark.stats.median]
        if min(times) <= 0:
            raise SpecError(
                f"report {str(path)!r}: {benchmark.name}: {min(times)!r} s, wants times above 0"
            )
        kept = "all rounds" if benchmark.stats.data else "the median only; the file keeps no data"
        yield Imported(
            tool=_TOOL, tool_version=document.version, model=benchmark.name, task="synthetic",
            kind="synthetic", adapter=_TOOL, precision="none", device="cpu", threads=1,
            workload=Call(name=benchmark.fullname), created=document.datetime,
            environment=_machine(document.machine_info),
            measurements=[series("latency_s", times, _TOOL)],
            identity={"fullname": benchmark.fullname},
            notes={"rounds": f"{benchmark.stats.rounds}; {kept}",
                   "commit": str(document.commit_info.get("id") or "unknown")},
        )  # fmt: skip


def _machine(told: dict[str, Any]) -> Environment:
    cpu = told.get("cpu")
    known = cpu if isinstance(cpu, dict) else {}
    count = known.get("count")
    return machine(
        known.get("brand_raw") or known.get("brand") or told.get("processor"), (),
        host=told.get("node"), system=told.get("system"), python=told.get("python_version"),
        cores_count=count if isinstance(count, int) and count > 0 else None,
    )  # fmt: skip
