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
from effmark.exchange.foreign import MOST, Imported, LeftOut, is_time, machine, parsed, series
from effmark.exchange.report_files import read_json
from effmark.record import Environment
from effmark.spec import Call

__all__ = ["read_pytest_benchmark"]

_TOOL = "pytest-benchmark"


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False, strict=True)


class _Stats(_Part):
    median: float
    rounds: int = Field(gt=0, le=MOST)
    data: list[float] = []


class _Benchmark(_Part):
    name: str
    fullname: str
    group: str | None = None
    stats: _Stats


class _Document(_Part):
    machine_info: dict[str, Any] = {}
    commit_info: dict[str, Any] = {}
    benchmarks: list[Any]
    datetime: str = ""
    version: str = ""


def read_pytest_benchmark(path: Path) -> Iterator[Imported | LeftOut]:
    """Yield what each benchmark of a file says; one with a time that cannot be is left out.

    Raises:
        SpecError: not such a file.
    """
    document = parsed(_Document, read_json(path), "")
    if not document.benchmarks:
        raise SpecError("holds no benchmark")
    for index, body in enumerate(document.benchmarks):
        try:
            yield _imported(parsed(_Benchmark, body, f"benchmark {index}"), document)
        except SpecError as error:
            yield LeftOut(str(error))


def _imported(benchmark: _Benchmark, document: _Document) -> Imported:
    times = benchmark.stats.data or [benchmark.stats.median]
    if not all(is_time(time) for time in times):
        raise SpecError(
            f"{benchmark.fullname!r:.200}: {min(times)!r} s, wants times above 0; the timer is too "
            "coarse for it"
        )
    kept = "all rounds" if benchmark.stats.data else "the median only; the file keeps no data"
    return Imported(
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
    """Return the machine; what is no text or number where one belongs is unknown."""
    cpu = told.get("cpu")
    known = cpu if isinstance(cpu, dict) else {}
    count = known.get("count")
    return machine(
        _text(known.get("brand_raw") or known.get("brand") or told.get("processor")), (),
        host=_text(told.get("node")), system=_text(told.get("system")),
        python=_text(told.get("python_version")),
        cores_count=count if type(count) is int and 0 < count <= MOST else None,
    )  # fmt: skip


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
