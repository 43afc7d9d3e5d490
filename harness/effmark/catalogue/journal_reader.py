"""What is new in journals as lines of the catalogue, read here or in other processes."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from effmark.catalogue.columns import line_of
from effmark.catalogue.coverage import Covered, tail_crc
from effmark.store.damage import Unreadable
from effmark.store.reading import parse, read_lines, unknown_numbers

__all__ = ["Reading", "read_some", "readings"]

_MOST_LINES = 5_000
"""Of one reading: what is held in memory and travels between processes."""

Tasks = dict[str, tuple[Path, Covered]]


@dataclass(frozen=True, slots=True)
class Reading:
    """Some new lines of a journal, and what is covered with them."""

    covered: Covered
    lines: list[str]
    more: bool
    """Whether the journal goes on."""


def read_some(path: Path, covered: Covered) -> Reading:
    """Return the next lines of a journal; those that are no records are noted in what it covers.

    Raises:
        OSError: the journal cannot be read.
    """
    covered = replace(covered, torn=False, bad=list(covered.bad))
    stat = path.stat()
    lines: list[str] = []
    for place, raw in read_lines(path, covered.offset, covered.lines + 1):
        if not raw.endswith(b"\n"):
            covered.torn = True
            break
        if len(lines) == _MOST_LINES:
            covered.tail_crc = tail_crc(path, covered.offset)
            return Reading(covered, lines, more=True)
        found = parse(raw)
        if isinstance(found, Unreadable):
            covered.bad.append((place.line, found.kind, found.what))
        else:
            covered.records += 1
            covered.unknown += unknown_numbers(found)
            lines.append(line_of(found, place, covered.number))
        covered.crc = zlib.crc32(raw, covered.crc)
        covered.offset, covered.lines = place.offset + place.length, place.line
    covered.tail_crc = tail_crc(path, covered.offset)
    covered.seen(stat)
    return Reading(covered, lines, more=False)


def readings(processes: int, tasks: Tasks) -> Iterator[tuple[str, Reading]]:
    """Yield the readings of journals, each journal's in order; one that cannot be read has none.

    Other processes are plain interpreters that import nothing but this: `multiprocessing` would
    run the user's script again in each of them.
    """
    if processes < 2:
        for name, (path, covered) in tasks.items():
            yield from ((name, reading) for reading in _all_of(path, covered))
        return
    helpers = [_Helper() for _ in range(processes)]
    try:
        with ThreadPoolExecutor(processes) as threads:
            yield from _together(threads, helpers, tasks)
    finally:
        for helper in helpers:
            helper.close()


def _all_of(path: Path, covered: Covered) -> Iterator[Reading]:
    more = True
    while more:
        try:
            reading = read_some(path, covered)
        except OSError:
            return
        yield reading
        covered, more = reading.covered, reading.more


def _together(
    threads: Executor, helpers: list[_Helper], tasks: Tasks
) -> Iterator[tuple[str, Reading]]:
    """Yield readings as they come, one at a time for each helper, so that memory suffices."""
    waiting, idle = list(tasks.items())[::-1], list(helpers)
    running: dict[Future[Reading | None], tuple[str, Path, _Helper]] = {}
    while waiting or running:
        while waiting and idle:
            (name, (path, covered)), helper = waiting.pop(), idle.pop()
            running[threads.submit(helper.read, path, covered)] = (name, path, helper)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            name, path, helper = running.pop(future)
            idle.append(helper)
            reading = future.result()
            if reading is not None:
                if reading.more:
                    waiting.append((name, (path, reading.covered)))
                yield name, reading


class _Helper:
    """A process that reads journals on request; what it cannot do is done here."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", f"from {__name__} import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, path: Path, covered: Covered) -> Reading | None:
        """Return the next reading of a journal, or None where it cannot be read."""
        try:
            return self._ask(path, covered)
        except (OSError, ValueError):  # it died, or was never able to start
            return next(_all_of(path, covered), None)

    def _ask(self, path: Path, covered: Covered) -> Reading | None:
        to, back = self._process.stdin, self._process.stdout
        assert to is not None
        assert back is not None
        to.write(json.dumps([str(path.absolute()), asdict(covered)]).encode() + b"\n")
        to.flush()
        told = json.loads(back.readline())
        if told is None:
            return None
        lines = [back.readline().decode().rstrip("\n") for _ in range(told["lines"])]
        return Reading(Covered(**told["covered"]), lines, told["more"])

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def main() -> None:
    """Answer requests on standard input until it ends."""
    for raw in sys.stdin.buffer:
        path, covered = json.loads(raw)
        reading = next(_all_of(Path(path), Covered(**covered)), None)
        told = reading and {
            "covered": asdict(reading.covered), "lines": len(reading.lines), "more": reading.more
        }  # fmt: skip
        sys.stdout.write("\n".join([json.dumps(told), *(reading.lines if reading else ()), ""]))
        sys.stdout.flush()
