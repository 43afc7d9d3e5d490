"""Try families on runtimes: `python -m scripts.matrix.run [--families a,b] [--adapters torch]`.

Every step of a cell is a forked process with a time limit, as preparing and loading are in the
product. Results go to a file after every model; a second call does what is missing or was made by
other code. Exit code 10: something was wrong or crashed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scripts.matrix.cells import EXACT, NAMED, VARIANTS, Cell, cells_of
from scripts.matrix.results import Results, code_of

from effmark.environment import WORKER_VARIABLES

ROOT = Path(__file__).parents[2]
LIMIT_S = 600
"""Longest step; an export of a tiny model takes 20 s on a quiet core."""
BROKEN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cells; return the exit code."""
    asked = _parse(arguments)
    os.environ.update(WORKER_VARIABLES)
    os.environ["OMP_NUM_THREADS"] = "1"
    tiny = _import_all(asked.adapters)
    families = asked.families or tiny.families()
    low = NAMED if asked.low is None else [f for f in asked.low if f]
    results = Results(asked.out, code_of(ROOT))
    todo = [
        c for c in cells_of(families, asked.adapters, low=low) if asked.again or c not in results
    ]
    print(f"{len(todo)} cells to try", flush=True)
    for family, variant in dict.fromkeys((c.family, c.variant) for c in todo):
        own = [c for c in todo if (c.family, c.variant) == (family, variant)]
        with tempfile.TemporaryDirectory(prefix="matrix-") as place:
            _try_model(tiny, own, Path(place), results)
        results.save()
    bad = [c for c in cells_of(families, asked.adapters, low=low) if results.is_bad(c)]
    return BROKEN if bad else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    def names(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=names, help="default: all that can be built")
    parser.add_argument("--adapters", type=names, default=list(EXACT))
    parser.add_argument("--low", type=names, help="families tried at low precisions, too")
    parser.add_argument("--out", type=Path, default=ROOT / "scripts/matrix/results.json")
    parser.add_argument("--again", action="store_true", help="also what has a result")
    return parser.parse_args(arguments)


def _import_all(adapters: Sequence[str]) -> Any:
    """Import what the forked processes need, once; return the builder of models."""
    import importlib.util

    import torch
    import transformers

    from effmark.registry import adapter_class

    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for name in adapters:
        found: Any = adapter_class(name)
        if hasattr(found, "import_runtime"):
            found.import_runtime()
    spec = importlib.util.spec_from_file_location(
        "tiny_models", ROOT / "tests/models/tiny_models.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as place:  # what this imports late, no fork imports again
        folder = module.make(Path(place), "llama")
        transformers.AutoModelForCausalLM.from_pretrained(folder)
    return module


def _try_model(tiny: Any, cells: Sequence[Cell], place: Path, results: Results) -> None:
    """Make a model, try its cells, throw away what was converted."""
    folder = place / "model" / cells[0].family
    made = _step(lambda: _make(tiny, folder, cells[0]), place / "log")
    if made["outcome"] != "done":
        for cell in cells:
            results.add(cell, {**made, "step": "make"})
        return
    for cell in cells:
        start = time.monotonic()
        outcome = _try_cell(cell, folder, place)
        outcome["seconds"] = round(time.monotonic() - start, 1)
        results.add(cell, outcome)
        print(f"{cell.key}: {outcome['outcome']} {outcome.get('reason', '')[:150]}", flush=True)


def _make(tiny: Any, folder: Path, cell: Cell) -> None:
    settings = dict(VARIANTS[cell.variant])
    if settings.get("tied"):
        settings["tied"] = tiny.can_tie(cell.family)
    tiny.make(folder, cell.family, **settings)


def _try_cell(cell: Cell, folder: Path, place: Path) -> dict[str, Any]:
    from scripts.matrix import judge, trial

    from effmark.model_folder import folder_model

    cache, answers = place / "cache", place / f"{cell.adapter}-{cell.precision}.npz"
    model = folder_model(cell.family, folder, cache=cache)
    request = trial.request_of(model, cell.precision, cache)
    log = place / "log"
    for name, step in (
        ("prepare", lambda: trial.prepare(cell.adapter, request)),
        ("prove", lambda: trial.hold_against_source(cell.adapter, request)),
        ("run", lambda: trial.answer(cell.adapter, request, answers)),
    ):
        done = _step(step, log)
        if done["outcome"] != "done":
            return {**done, "step": name}
    exact = place / f"{cell.adapter}-{EXACT[cell.adapter]}.npz"

    def compare() -> dict[str, Any]:
        if cell.exact:
            verdict = judge.judge_exact(answers, folder, cell.adapter)
        else:
            verdict = judge.judge_low(answers, exact, cell.precision)
        numbers = {key: float(f"{value:.3g}") for key, value in verdict.numbers.items()}
        outcome = {"outcome": "wrong", "reason": verdict.fault} if verdict.fault else {}
        return {"outcome": "right", "numbers": numbers, **outcome}

    if not exact.exists():
        return {
            "outcome": "wrong",
            "step": "compare",
            "reason": "no full precision to compare with",
        }
    done = _step(compare, log)
    return done.get("value") or {**done, "step": "compare"}


def _step(action: Callable[[], Any], log: Path) -> dict[str, Any]:
    """Run a step in a fork; return how it ended, with the sentence of an error."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _in_child(action, writing, log)
    os.close(writing)
    return _wait(child, reading)


def _in_child(action: Callable[[], Any], writing: int, log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    body: dict[str, Any] = {"outcome": "done"}
    try:
        body["value"] = action()
    except BaseException as error:  # noqa: BLE001 - whatever happens is the result
        body = _classified(error)
    with os.fdopen(writing, "w") as pipe:
        json.dump(body, pipe)
    os._exit(0)


def _classified(error: BaseException) -> dict[str, Any]:
    import traceback

    from effmark.errors import EffmarkError

    if isinstance(error, EffmarkError):
        kind = type(error).__name__
        refused = kind in ("UnsupportedError", "PrerequisiteError", "SpecError")
        text = str(error)
        one_line = "\n" not in text and len(text) < 400
        return {
            "outcome": "refused" if refused and one_line else "crash",
            "kind": kind,
            "reason": text,
        }
    where = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(where.filename).name}:{where.lineno}"
    reason = f"{type(error).__name__}: {error}"[:300]
    return {"outcome": "crash", "reason": reason, "where": place}


def _wait(child: int, reading: int) -> dict[str, Any]:
    import select
    import signal

    ready, _, _ = select.select([reading], [], [], LIMIT_S)
    if not ready:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if text:
        return dict(json.loads(text))
    if not ready:
        return {"outcome": "crash", "reason": f"no answer within {LIMIT_S} s"}
    return {"outcome": "crash", "reason": f"the process ended with status {status}"}


if __name__ == "__main__":
    sys.exit(main())
