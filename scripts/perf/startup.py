"""Seconds until a command has printed its help: whole processes, from start to end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from scripts.perf.rounds import known, median_of, ratio_of, run_rounds
from scripts.perf.table import Line, Promise, finish

TITLE = "startup: seconds of a whole process"
ROUNDS = 7
FRAMEWORKS = [
    "datasets",
    "numpy",
    "onnxruntime",
    "openvino",
    "scipy",
    "sklearn",
    "tokenizers",
    "torch",
    "transformers",
    "xllamacpp",
]
PROBE = """
import json, sys
from effmark.cli import main
sys.argv = ["effmark", *{arguments!r}]
try:
    main()
except SystemExit:
    pass
print(json.dumps([name for name in {frameworks!r} if name in sys.modules]), file=sys.stderr)
"""


def seconds(command: Sequence[str], _: int) -> float:
    """Return the wall time of a command in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def imported_frameworks(arguments: list[str]) -> list[str]:
    """Return the frameworks that a command of effmark imports."""
    probe = PROBE.format(arguments=arguments, frameworks=FRAMEWORKS)
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return [str(name) for name in json.loads(done.stderr.splitlines()[-1])]


def measure() -> list[Line]:
    """Return times, ratios and the number of frameworks that were imported."""
    scripts = Path(sys.executable).parent
    commands = {
        "lm_eval --help": [str(scripts / "lm_eval"), "--help"],
        "effmark --help": [str(scripts / "effmark"), "--help"],
        "effmark list": [str(scripts / "effmark"), "list"],
    }
    tasks: dict[str, Callable[[int], float]] = {
        name: partial(seconds, command) for name, command in commands.items()
    }
    for task in tasks.values():
        task(0)  # files into memory
    found = run_rounds(tasks, ROUNDS)
    lines = [Line(name, median_of(times), "s") for name, times in found.items()]
    for name in ("effmark --help", "effmark list"):
        faster = ratio_of(found["lm_eval --help"], found[name])
        lines.append(Line(f"lm_eval --help / {name}", faster, "", Promise(3.0, at_least=True)))
        frameworks = imported_frameworks(commands[name][1:])
        what = " ".join(["frameworks imported by", name, *frameworks])
        lines.append(Line(what, known(len(frameworks)), "", Promise(0)))
    return lines


if __name__ == "__main__":
    finish(TITLE, measure())
