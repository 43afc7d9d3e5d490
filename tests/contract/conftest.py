"""Every installed adapter at every precision, prepared in a process of its own, loaded once."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.environment import WORKER_VARIABLES
from effmark.errors import EffmarkError
from effmark.models import resolve_model
from effmark.record import ModelFacts
from effmark.registry import adapter_class, installed
from effmark.spec import ModelRef

os.environ.update(WORKER_VARIABLES)  # as in a worker: before any runtime is imported

PREPARE = """
import json, sys
from effmark.adapter import LoadRequest
from effmark.errors import EffmarkError, UnsupportedError
from effmark.registry import adapter_class
outcomes = []
for body in json.loads(sys.argv[2]):
    request = LoadRequest.model_validate(body)
    try:
        adapter_class(sys.argv[1]).prepare(request)
        outcomes.append("")
    except EffmarkError as error:
        kind = "unsupported" if isinstance(error, UnsupportedError) else "prerequisite"
        outcomes.append(f"{kind}: {error}")
open(sys.argv[3], "w").write(json.dumps(outcomes))
"""
"""`prepare` runs in a process of its own, in the product as well as here."""


@dataclass(frozen=True)
class LoadedCell:
    """An adapter that holds a model at a precision."""

    name: str
    adapter: Any
    request: LoadRequest
    facts: ModelFacts


SCRIPTED = ("null", "sleep", "synthetic_lm")
"""Adapters that answer by a script: nothing to compare with a model, nothing to refuse."""
ELSEWHERE = ("as_is", "q4_k_m", "q6_k")
"""Precisions that the small model cannot have: it is no GGUF file, its rows are too short."""
EXACT = ("fp32", "f32", "none")
FOUR_BITS = ("int4", "q4_0", "q4_1", "q4_k_m")
CELLS: dict[str, Callable[[str, str], bool]] = {
    "cell": lambda adapter, precision: True,
    "real": lambda adapter, precision: adapter not in SCRIPTED,
    "exact": lambda adapter, precision: adapter not in SCRIPTED and precision in EXACT,
    "rounded": lambda adapter, precision: adapter not in SCRIPTED and precision not in EXACT,
    "four_bits": lambda adapter, precision: precision in FOUR_BITS and adapter not in SCRIPTED,
}
"""Which cells a test runs on, by the name of the fixture that it asks for."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every cell, or on every adapter, that its fixture stands for."""
    for fixture in sorted(CELLS.keys() & set(metafunc.fixturenames)):
        metafunc.parametrize(fixture, list(_cells(CELLS[fixture])), indirect=True)
    if "adapter_name" in metafunc.fixturenames:
        metafunc.parametrize("adapter_name", list(installed("adapters")))


def _cells(wanted: Callable[[str, str], bool]) -> Iterator[str]:
    """Yield `adapter:precision`; `adapter:` for one that cannot be imported."""
    for name in installed("adapters"):
        try:
            precisions: tuple[str, ...] = adapter_class(name).precisions
        except EffmarkError:
            precisions = ("",)
        yield from (f"{name}:{p}" for p in precisions if _is_here(wanted, name, p))


def _is_here(wanted: Callable[[str, str], bool], adapter: str, precision: str) -> bool:
    return not precision or (precision not in ELSEWHERE and wanted(adapter, precision))


class Cells:
    """Prepares and loads cells on demand and keeps them until the session ends."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._outcomes: dict[str, dict[str, tuple[str, LoadRequest]]] = {}
        self._loaded: dict[str, LoadedCell] = {}

    def get(self, name: str) -> LoadedCell:
        """Return a loaded cell by `adapter:precision`; skip with the reason if it has none."""
        if name not in self._loaded:
            request = self.request(name)
            adapter: Any = adapter_class(name.split(":")[0])()
            with warnings.catch_warnings():  # imports of other people's packages
                warnings.simplefilter("ignore")
                adapter.load(request)
                facts = adapter.facts()
            self._loaded[name] = LoadedCell(name, adapter, request, facts)
        return self._loaded[name]

    def request(self, name: str) -> LoadRequest:
        """Return the request of a cell after preparing it; skip with the reason if refused."""
        adapter, precision = name.split(":")
        if adapter not in self._outcomes:
            self._outcomes[adapter] = self._prepare(adapter)
        refusal, request = self._outcomes[adapter][precision]
        if refusal:
            pytest.skip(refusal)
        return request

    def first(self, adapter: str) -> LoadRequest:
        """Return the request of the first precision that an adapter prepares."""
        if adapter not in self._outcomes:
            self._outcomes[adapter] = self._prepare(adapter)
        found = [request for refusal, request in self._outcomes[adapter].values() if not refusal]
        if not found:
            pytest.skip(next(iter(self._outcomes[adapter].values()))[0])
        return found[0]

    def close(self) -> None:
        """Close everything that was loaded."""
        for cell in self._loaded.values():
            cell.adapter.close()
        self._loaded.clear()
        gc.collect()

    def _prepare(self, adapter: str) -> dict[str, tuple[str, LoadRequest]]:
        try:
            precisions = adapter_class(adapter).precisions
        except EffmarkError as error:
            pytest.skip(str(error))
        family = self._run(adapter, precisions, resolve_model("effmark-1m", self._cache))
        if all(refusal.startswith("unsupported") for refusal, _ in family.values()):
            synthetic = resolve_model("synthetic", self._cache)
            return self._run(adapter, precisions, synthetic)
        return family

    def _run(
        self, adapter: str, precisions: tuple[str, ...], model: ModelRef
    ) -> dict[str, tuple[str, LoadRequest]]:
        requests = [self._request(model, precision) for precision in precisions]
        bodies = json.dumps([request.model_dump(mode="json") for request in requests])
        answer = self._cache / f"{adapter}.json"
        arguments = [sys.executable, "-W", "ignore", "-c", PREPARE, adapter, bodies, str(answer)]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"preparing {adapter} died: {done.stderr[-2000:]}"
        refusals = json.loads(answer.read_text())
        return dict(zip(precisions, zip(refusals, requests, strict=True), strict=True))

    def _request(self, model: ModelRef, precision: str) -> LoadRequest:
        return LoadRequest(
            model=model,
            precision=precision,
            threads=1,
            context_tokens=256,
            batch=3,
            cache=self._cache,
        )


@pytest.fixture(scope="session")
def loaded_cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """All cells, with one cache of conversions."""
    found = Cells(tmp_path_factory.mktemp("contract-cache"))
    yield found
    found.close()


def _one_cell(request: pytest.FixtureRequest, loaded_cells: Cells) -> LoadedCell:
    """One loaded cell, by its name."""
    return loaded_cells.get(request.param)


cell, real, exact, rounded, four_bits = (pytest.fixture(name=n)(_one_cell) for n in CELLS)


@pytest.fixture(scope="session")
def reference(loaded_cells: Cells) -> LoadedCell:
    """The torch adapter at fp32, which all others are compared with."""
    return loaded_cells.get("torch:fp32")
