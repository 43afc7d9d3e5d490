"""The pytest plugin: measure in tests, set limits, keep what was won. PYTEST_DONT_REWRITE.

Silent unless used. This file is imported by every run of pytest wherever effmark is installed, so
it imports nothing but pytest; what measures is imported by the first test that asks for it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from effmark.pytest_plugin.benchmark import BenchmarkWatch
    from effmark.pytest_plugin.fixture import Effmark
    from effmark.pytest_plugin.limits import Asked
    from effmark.pytest_plugin.session import Session

__all__ = ["effmark"]

_SESSION: pytest.StashKey[Session] = pytest.StashKey()
_ROWS: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
_TESTS: pytest.StashKey[int] = pytest.StashKey()
_FIXTURE: pytest.StashKey[Effmark] = pytest.StashKey()
_FOUND: pytest.StashKey[list[dict[str, Any]]] = pytest.StashKey()
_MARKER = (
    "effmark(max_METRIC, min_METRIC, within, of, metrics, missing, budget_s): limits on what the "
    "test measures; missing='skip' or 'fail' says what a limit is that cannot be judged here"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("effmark", "efficiency: measure, save, compare, gate")
    add = group.addoption
    add("--effmark-save", metavar="NAME", help="Save the measurements of this run under NAME.")
    add("--effmark-compare", metavar="NAME|git:REV", help="Compare with saved measurements.")
    add("--effmark-gate", action="store_true", help="Fail tests that are worse than the baseline.")
    add("--effmark-within", metavar="SHARE", default="5%", help="Loss that is accepted [5%%].")
    add("--effmark-dir", metavar="DIR", help="Where measurements are saved [ROOTDIR/.effmark].")
    add("--effmark-budget", metavar="SECONDS", default=1.0, type=float,
        help="Measuring time per callable [1].")  # fmt: skip
    add("--effmark-runs", metavar="N", default=1, type=int,
        help="Measure in N fresh processes, one after the other [1].")  # fmt: skip
    add("--effmark-bytecodes", action="store_true",
        help="Count executed Python instructions also where no limit asks.")  # fmt: skip
    add("--effmark-round", metavar="FOLDER", help=argparse.SUPPRESS)
    add("--effmark-elsewhere", metavar="FOLDER", help=argparse.SUPPRESS)
    add("--effmark-energy", action="store_true", help="Measure energy also where no limit asks.")
    add("--effmark-require-energy", action="store_true",
        help="Fail tests whose energy is missing or only estimated.")  # fmt: skip
    add("--effmark-missing", choices=("skip", "fail"), default="skip",
        help="What a limit is that cannot be judged here [skip].")  # fmt: skip
    add("--effmark-markdown", metavar="FILE", help="Write the summary as Markdown.")
    add("--effmark-lock-wait", metavar="SECONDS", default=600.0, type=float,
        help="Longest wait for another measurement on this machine [600].")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker; refuse options that cannot work before anything runs."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_ROWS] = []
    config.stash[_TESTS] = 0
    config.pluginmanager.register(_Collector(config), "effmark-collector")
    named = [config.getoption(f"--effmark-{name}") for name in ("save", "compare")]
    if any(named) and not hasattr(config, "workerinput") and not _is_round(config):
        _check_names(config, *named)
    _check_runs(config)


def _is_round(config: pytest.Config) -> bool:
    """Return whether this process only measures, for another one that judges."""
    return config.getoption("--effmark-round") is not None


def _check_runs(config: pytest.Config) -> None:
    runs = config.getoption("--effmark-runs")
    if runs < 1:
        raise pytest.UsageError(f"effmark: --effmark-runs {runs}, wants 1 or more")
    if runs > 1 and config.getoption("numprocesses", None):
        raise pytest.UsageError(
            "effmark: --effmark-runs measures in one process after the other; leave out -n"
        )


def _check_names(config: pytest.Config, save: str | None, compare: str | None) -> None:
    _need_posix(config)
    from effmark.errors import EffmarkError
    from effmark.pytest_plugin.baselines import check_name

    try:
        if save:
            check_name(save)
        baselines = _session(config).baselines
        if compare and compare.startswith("git:") and not config.getoption("numprocesses", None):
            baselines.commit(compare)  # what was not measured yet can be
        elif compare:
            baselines.load(compare)
    except EffmarkError as error:
        raise pytest.UsageError(f"effmark: {error}") from None


def _need_posix(config: pytest.Config) -> None:
    problem = _problem()
    if problem:
        raise pytest.UsageError(f"effmark: {problem}")


class _Collector:
    """Takes the rows of all tests, those of other processes included."""

    def __init__(self, config: pytest.Config) -> None:
        self._rows = config.stash[_ROWS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report brings."""
        self._rows += getattr(report, "effmark", [])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse markers that say nothing, and count the tests that can raise a false alarm."""
    used = [item for item in items if _uses(item)]
    config.stash[_TESTS] = len(used)
    if _is_round(config):
        items[:] = used
    from effmark.errors import SpecError

    for item in used:
        try:
            _asked(item)
        except SpecError as error:
            raise pytest.UsageError(f"effmark: {error}") from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Measure in fresh processes first, where several runs or a revision are asked for."""
    config = session.config
    runs, compared = config.getoption("--effmark-runs"), config.getoption("--effmark-compare") or ""
    if _is_round(config) or not (runs > 1 or compared.startswith("git:")):
        return
    alone = not (hasattr(config, "workerinput") or config.getoption("numprocesses", None))
    if session.testsfailed or config.option.collectonly or not config.stash[_TESTS] or not alone:
        return
    _need_posix(config)
    from effmark.errors import EffmarkError
    from effmark.pytest_plugin.before import Asking, measure_before

    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    given = config.invocation_params
    asking = Asking(
        tuple(str(argument) for argument in given.args),
        given.dir,
        runs,
        config.pluginmanager.has_plugin("xdist"),
        tuple(item.nodeid for item in session.items if _uses(item)),
    )
    say = reporter.write_line if reporter is not None else lambda text: None
    try:
        measure_before(_session(config), asking, say)
    except EffmarkError as error:
        raise pytest.UsageError(f"effmark: {error}") from None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Refuse to have measured another revision with modules of the checkout."""
    elsewhere = session.config.getoption("--effmark-elsewhere")
    if elsewhere is None:
        return
    from effmark.pytest_plugin.worktree import imported_from

    found = imported_from(Path(elsewhere), session.config.rootpath)
    if found:
        pytest.exit(
            f"module {found} comes from the checkout and not from the revision that is measured",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )


def _uses(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return (
        item.get_closest_marker("effmark") is not None or "effmark" in names or "benchmark" in names
    )


def _asked(item: pytest.Item) -> Asked:
    from effmark.errors import SpecError
    from effmark.pytest_plugin.limits import asked

    markers: list[Mapping[str, Any]] = []
    for mark in item.iter_markers("effmark"):
        if mark.args:
            raise SpecError(f"{item.nodeid}: marker effmark: wants NAME=VALUE, got {mark.args!r}")
        markers.append(mark.kwargs)
    return asked(markers, item.nodeid)


def _problem() -> str:
    """Return why nothing can be measured on this machine, empty where it can."""
    try:
        import fcntl  # noqa: F401
        import resource  # noqa: F401
    except ImportError as error:
        return f"no module {error.name!r} here; measuring inside a process needs Linux or macOS"
    return ""


def _session(config: pytest.Config) -> Session:
    """Return the state of this run, made at its first use."""
    if _SESSION not in config.stash:
        from effmark.errors import SpecError
        from effmark.pytest_plugin.limits import margin_of
        from effmark.pytest_plugin.session import Options, Session

        option = config.getoption
        try:
            margin = margin_of(option("--effmark-within"), "--effmark-within")
        except SpecError as error:
            raise pytest.UsageError(f"effmark: {error}") from None
        alone = not _is_round(config)
        given = option("--effmark-dir") if alone else option("--effmark-round")
        config.stash[_SESSION] = Session(
            Options(
                folder=Path(given).absolute() if given else config.rootpath / ".effmark",
                root=config.rootpath,
                save=option("--effmark-save") if alone else "round",
                compare=option("--effmark-compare") if alone else None,
                gate=option("--effmark-gate") and alone,
                margin=margin,
                budget_s=option("--effmark-budget"),
                energy=option("--effmark-energy") or option("--effmark-require-energy"),
                require_energy=option("--effmark-require-energy") and alone,
                missing=option("--effmark-missing"),
                lock_wait_s=option("--effmark-lock-wait"),
                bytecodes=option("--effmark-bytecodes"),
            )
        )
    session = config.stash[_SESSION]
    session.tests = max(1, config.stash[_TESTS])
    return session


@pytest.fixture
def effmark(request: pytest.FixtureRequest) -> Effmark:
    """Measure: `effmark(f, x)`, `with effmark.window("decode") as w:`, `effmark.run_cell(…)`."""
    item: pytest.Item = request.node
    problem = _problem()
    if problem:
        _unanswered(item, [problem])
    fixture = _session(item.config).fixture(item.nodeid, _asked(item))
    item.stash[_FIXTURE] = fixture
    return fixture


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Hold what a test measured against its limits, after the test itself has passed."""
    if not _uses(item):
        return (yield)
    watch = _benchmark(item)
    result = yield from _measuring(item, watch)
    _judge(item, watch)
    return result


def _measuring(item: pytest.Item, watch: BenchmarkWatch | None) -> Generator[None, object, object]:
    """Run the test; what it cannot measure here is a skip with the reason."""
    from effmark.errors import PrerequisiteError

    try:
        with watch or nullcontext():
            return (yield)
    except PrerequisiteError as error:
        _unanswered(item, [str(error)])
        raise


def _benchmark(item: pytest.Item) -> BenchmarkWatch | None:
    """Return a watch over pytest-benchmark's fixture, where the test uses it and it measures."""
    fixture: Any = getattr(item, "funcargs", {}).get("benchmark")
    if type(fixture).__module__ != "pytest_benchmark.fixture" or fixture.disabled or _problem():
        return None
    from effmark.pytest_plugin.benchmark import BenchmarkWatch

    session = _session(item.config)
    options, asked = session.options, _asked(item)
    return BenchmarkWatch(
        fixture,
        session.instruments,
        energy=options.energy or asked.needs_energy,
        bytecodes=options.bytecodes or asked.needs_bytecodes,
    )


def _judge(item: pytest.Item, watch: BenchmarkWatch | None) -> None:
    fixture = item.stash.get(_FIXTURE, None)
    asked = _asked(item)
    if fixture is None and watch is None and not (asked.limits or asked.within):
        return
    problem = _problem()
    if problem:
        _unanswered(item, [problem])
    records = fixture.records() if fixture is not None else []
    timed = watch.record(item.nodeid) if watch is not None else None
    outcome = _session(item.config).judge(
        item.nodeid, [*records, *([timed] if timed else [])], asked
    )
    item.stash[_FOUND] = list(outcome.rows)
    for row in outcome.rows:
        _properties(item, row)
    if outcome.failures:
        pytest.fail("effmark: " + "\n".join(outcome.failures), pytrace=False)
    if outcome.unanswered:
        _unanswered(item, outcome.unanswered)


def _properties(item: pytest.Item, row: dict[str, Any]) -> None:
    """Give every number to JUnit and to whoever else reads properties."""
    for metric, value in row["values"].items():
        item.user_properties.append((f"effmark.{row['name']}.{metric}", repr(value)))
    if row["verdict"]:
        item.user_properties.append((f"effmark.{row['name']}.verdict", row["verdict"]))


def _unanswered(item: pytest.Item, reasons: list[str] | tuple[str, ...]) -> None:
    """End the test as its marker says: what cannot be judged is never a pass."""
    said = "effmark: " + "; ".join(reasons)
    missing = _asked(item).missing or item.config.getoption("--effmark-missing")
    if missing == "fail":
        pytest.fail(said, pytrace=False)
    raise pytest.skip.Exception(said, _use_item_location=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what was measured into the report, which travels to the process that prints."""
    report = yield
    if call.when == "call" and _FOUND in item.stash:
        vars(report)["effmark"] = item.stash[_FOUND]
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show what was measured; write it as Markdown where somebody wants it."""
    rows = config.stash[_ROWS]
    if not rows or _is_round(config):
        return
    from effmark.pytest_plugin.summary import markdown_summary, text_summary

    terminalreporter.ensure_newline()
    terminalreporter.section("effmark")
    for line, colour in text_summary(rows, terminalreporter._tw.fullwidth):
        terminalreporter.write_line(line, **({colour: True} if colour else {}))
    saved = config.getoption("--effmark-save")
    if saved:
        terminalreporter.write_line(_session(config).baselines.saved(saved))
    targets = (
        ("GITHUB_STEP_SUMMARY", os.environ.get("GITHUB_STEP_SUMMARY"), os.O_APPEND),
        ("--effmark-markdown", config.getoption("--effmark-markdown"), os.O_TRUNC),
    )
    for name, target, how in targets:
        if target and (why := _written(target, how, markdown_summary(rows))):
            terminalreporter.write_line(f"effmark: {name}={target} not written: {why}", yellow=True)


def _written(target: str, how: int, text: str) -> str | None:
    """Write a summary; return why it cannot be, None where it was: the results stand anyway."""
    try:
        # a pipe that nobody reads is an error then, not a wait
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | how, 0o644)
        with os.fdopen(fd, "w", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        return error.strerror or str(error)
    return None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give instruments and files back."""
    session = config.stash.get(_SESSION, None)
    if session is not None:
        session.close()
