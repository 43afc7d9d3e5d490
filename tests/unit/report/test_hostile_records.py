"""Records with a right checksum and wrong content: refused by line, or shown as what they can be.

Whatever one line says, the others are shown; no reader ends in a traceback, and no number that is
shown is one that its metric cannot have.
"""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effmark.catalogue import Catalogue, line_values
from effmark.cli import _group
from effmark.compare import compare_records, comparison_json
from effmark.errors import EffmarkError, SpecError
from effmark.exchange.entries import Choice
from effmark.exchange.exporting import export_files
from effmark.gate import gate, gate_json
from effmark.metrics import LARGEST, possible
from effmark.record import Record
from effmark.report.csv_file import csv_text
from effmark.report.json_file import json_text
from effmark.report.markdown import markdown
from effmark.report.page import render_page
from effmark.rows import Number, Row, make_rows
from effmark.spec import Decode, Infer, Labels, Prefill, Tasks, Text
from effmark.store import Damage, encode, parse, read_records
from effmark.store.lines import seal

Body = dict[str, Any]
Of = Callable[..., Record]


def body_of(record: Record) -> Body:
    found: Body = json.loads(record.model_dump_json())
    return found


def journal(folder: Path, *bodies: Body | bytes) -> Path:
    (folder / "toy-v1").mkdir(parents=True)
    lines = [body if isinstance(body, bytes) else encode(body) for body in bodies]
    (folder / "toy-v1" / "a.jsonl").write_bytes(b"".join(lines))
    return folder


@pytest.fixture(scope="module")
def bases(make_record: Of) -> list[Body]:
    """Records of every kind, small, so that mutating and reading them is cheap."""
    timed = [Decode(prompt_tokens=4, new_tokens=4, batch=2), Prefill(prompt_tokens=8), Infer()]
    workloads = [*timed, Text(name="austen", tokens=1024), Tasks(name="mini"), Labels()]
    bodies = [body_of(make_record(workload=workload, blocks=7)) for workload in workloads]
    for body in bodies:  # 625 items say no more than 40
        for told in body["measurements"]:
            for key in ("samples", "weights", "group"):
                told[key] = told[key][:40] if told.get(key) else None
    return bodies


def change(body: Body, path: str, value: Any) -> Body:
    """Return a body with another value at a path such as `blocks.0.cpu_s`."""
    changed = copy.deepcopy(body)
    *above, last = (int(p) if p.isdigit() else p for p in path.split("."))
    node: Any = changed
    for part in above:
        node = node[part]
    node[last] = value
    return changed


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("blocks.0.cpu_s", -5, "blocks.0.cpu_s: Input should be greater than or equal to 0"),
        ("cell.threads", 0, "cell.threads: Input should be greater than 0"),
        ("blocks.0.instructions", -1, "blocks.0.instructions: Input should be greater"),
        ("blocks.3.sequences", 0, "blocks.3.sequences: Input should be greater than or equal"),
        ("blocks.0.steps_s", [], "blocks.0: no steps; a request gives one token or more"),
        ("blocks.0.steps_s.0", 1e308, "blocks.0.steps_s.0: Input should be less than or equal"),
        ("blocks.0.steps_s.0", 0.2, "blocks.0: Value error, steps are not in the order of time"),
        ("blocks.0.end_s", -1e-3, "blocks.0: Value error, block ends at -0.001 s, before its st"),
        ("blocks.0.end_s", 0.9, "lies behind the end of the block"),
        ("measurements.0.unit", "ms", "load_s: unit 'ms', wants 's'"),
        ("measurements.0.samples", [-0.1], "load_s: -0.1, wants 0 to 1e+40"),
        ("measurements.3.samples", [1e308], "samples.0: Input should be less than or equal"),
        ("energy.0.joules", -1, "energy.0.joules: Input should be greater than or equal to 0"),
        ("energy.0.end_s", -9, "energy.0: Value error, window ends at -9.0 s, before its start"),
        ("energy.0.units.output_tokens", 5e-324, "is too little to divide by"),
        ("created", "yesterday", "Invalid isoformat string: 'yesterday'"),
    ],
)
def test_what_cannot_be_is_one_unreadable_line_with_its_place_and_reason(
    path: str, value: Any, why: str, make_record: Of, tmp_path: Path
) -> None:
    good = body_of(make_record())
    damage = Damage()
    folder = journal(tmp_path, change(good, path, value), {**good, "id": "good"})
    assert [r.id for r in read_records(folder, damage)] == ["good"]
    (place,) = damage.places
    assert place.startswith(f"{folder}/toy-v1/a.jsonl:1: ")
    assert why in place
    assert "\n" not in place


@pytest.mark.parametrize(
    ("samples", "weights", "why"),
    [
        ([1.0, 7.0], None, "accuracy: 7.0, wants 0 to 1"),
        ([1.0, 3.0], [1.0, 2.0], "accuracy: 1.5, wants 0 to 1"),
        ([1.0, 1.0], [1.0, 0.0], "accuracy: 1.0 of nothing: its weight is 0"),
        ([1.0, 1.0], [1.0, 1e-300], "too little to divide by"),
        ([1.0, 1.0], [1.0], "accuracy: 1 weights for 2 samples"),
    ],
)
def test_a_share_is_one_or_less_of_something(
    samples: list[float], weights: list[float] | None, why: str, make_record: Of
) -> None:
    told = {"kind": "measured", "metric": "accuracy", "unit": "ratio", "source": "labels",
            "samples": samples, "weights": weights, "estimator": "ratio"}  # fmt: skip
    found = parse(encode({**body_of(make_record(workload=Labels())), "measurements": [told]}))
    assert not isinstance(found, Record)
    assert why in found.what


def test_what_is_rare_but_possible_is_read(make_record: Of) -> None:
    """Two tokens at once, a clock that did not advance, an image that gave no step."""
    body = body_of(make_record(blocks=3))
    steps = [0.0] * len(body["blocks"][0]["steps_s"])
    idle = {**body["blocks"][0], "steps_s": steps, "start_s": 0.0, "end_s": 0.0, "cpu_s": 0}
    assert isinstance(parse(encode({**body, "blocks": [idle] * 3})), Record)
    assert all(block.steps_s == () for block in make_record(workload=Infer(batch=4)).blocks)


@pytest.mark.parametrize("count", [1, 2])
def test_metrics_of_a_newer_version_are_kept_skipped_and_counted(
    count: int, make_record: Of, tmp_path: Path
) -> None:
    body = body_of(make_record())
    new = {**body["measurements"][0], "metric": "joy_per_token", "unit": "joy"}
    gone = {"kind": "missing", "metric": "hue", "reason": "undefined", "detail": "grey"}
    told = [*body["measurements"], *[new, gone][:count]]
    folder = journal(tmp_path, {**body, "measurements": told})
    done = CliRunner().invoke(_group, ["leaderboard", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    said = {1: "1 number of a metric", 2: "2 numbers of metrics"}[count]
    assert f"effmark: {said} unknown to this version left out" in done.stderr
    assert "joy" not in done.stdout
    damage = Damage()
    (record,) = read_records(folder, damage)
    assert record.measurement("joy_per_token") is not None
    pytest.importorskip("duckdb")
    for _ in range(2):  # read anew, and from the manifest
        again = Damage()
        Catalogue(folder, again)
        assert (damage.unknown, again.unknown) == (count, count)


COMMANDS = [
    ["leaderboard", "HERE"], ["leaderboard", "HERE", "--json"],
    ["leaderboard", "HERE", "--format", "csv"], ["leaderboard", "HERE", "--format", "md"],
    ["export", "junit", "HERE"], ["export", "otlp", "HERE", "--all"],
    ["export", "prometheus", "HERE", "--all"], ["compare", "HERE", "HERE"],
    ["gate", "HERE", "HERE"], ["history", "tpot_s", "--results", "HERE"],
    ["analyse", "best", "HERE"], ["analyse", "speedups", "HERE"],
    ["analyse", "reliability", "HERE"],
]  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_goes_on_beside_a_line_that_cannot_be_and_a_row_of_zeros(
    words: list[str], make_record: Of, tmp_path: Path
) -> None:
    good = body_of(make_record(is_baseline=True))
    block = good["blocks"][0]
    still = {**block, "steps_s": [0.0] * len(block["steps_s"]), "cpu_s": 0.0, "instructions": 0,
             "start_s": 0.0, "end_s": 0.0}  # fmt: skip
    zeros = {**body_of(make_record(precision="int8")), "blocks": [still] * 24}
    folder = journal(tmp_path / "r", good, zeros, change(good, "blocks.0.sequences", -3))
    here = [str(folder) if word == "HERE" else word for word in words]
    done = CliRunner().invoke(_group, here)
    assert done.exception is None or isinstance(done.exception, SystemExit | EffmarkError)
    assert "a.jsonl:3: blocks.0.sequences" in done.stderr


VALUES: list[Any] = [
    0, -1, -5.0, 0.0, 5e-324, 1e-300, 1e-30, 1e308, -1e308, 1e39, 2**31, 2**63, 10**30, "", "ms",
    "effmark_unheard_of", "tpot_s", "accuracy", "inf", None, True, False, [], {}, [0.0], [[]],
    "\ud800", "a\x00b", "é" * 50, 1, 2, 0.5, "ok", "crash", "invalid",
]  # fmt: skip
_LIVELY = ("blocks", "measurements", "energy", "cell", "facts", "traces")


def places(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of a body; of long lists those of both ends and the middle."""
    if at:
        yield at
    if isinstance(node, dict):
        for key in node:
            yield from places(node[key], (*at, key))
    elif isinstance(node, list):
        for index in sorted({0, 1, len(node) // 2, len(node) - 1} & set(range(len(node)))):
            yield from places(node[index], (*at, index))


def mutated(body: Body, draw: random.Random) -> Body:
    body = copy.deepcopy(body)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        found = list(places(body))
        *above, last = draw.choices(found, [5 if p[0] in _LIVELY else 1 for p in found])[0]
        node: Any = body
        for part in above:
            node = node[part]
        value, kind = node[last], draw.random()
        if kind < 0.1:
            del node[last]
        elif kind < 0.2 and isinstance(node, list):
            node.insert(last, copy.deepcopy(value))
        elif kind < 0.3 and type(value) in (int, float):
            node[last] = value * draw.choice([-1, 0, 1e-9, 1000, 1e9])
        else:
            node[last] = copy.deepcopy(draw.choice(VALUES))
    return body


def sealed(body: Body) -> bytes:
    """Return the line with its right checksum, of texts that are no Unicode, too."""
    return seal(json.dumps(body, separators=(",", ":")).encode())


def read_all(rows: list[Row], records: list[Record], draw: random.Random) -> None:
    """Ask readers for all they have; errors that they raise on purpose are answers."""
    for row in rows:
        for name, number in row.metrics.items():
            if isinstance(number, Number):
                low, high = possible(name)
                most = math.isfinite(number.value) if high == LARGEST else number.value <= high
                good = low <= number.value and most
                assert good or name.startswith("cost_of_pass"), (name, number.value)
    for record in records:
        line_values(record)
    json.loads(json_text(rows), parse_constant=_none)
    csv_text(rows)
    markdown(rows, None)
    if draw.random() < 0.1:
        render_page(rows)
    for form in draw.sample(["junit", "otlp", "prometheus", "bencher", "pytest-benchmark"], 2):
        try:
            export_files(form, rows, Choice(everything=True))
        except SpecError:
            continue
    one, two = draw.sample(records, 2)
    try:
        json.dumps(comparison_json(compare_records(one, two)), allow_nan=False)
        json.dumps(gate_json(gate([one], [two])), allow_nan=False)
    except SpecError:
        return


def _none(name: str) -> Any:
    raise AssertionError(f"{name} in JSON")


def test_mutated_records_are_refused_or_read_and_never_break_a_reader(bases: list[Body]) -> None:
    @settings(max_examples=500, deadline=None, derandomize=True, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(seed=st.integers(0, 2**32))
    def one(seed: int) -> None:
        survives(random.Random(seed), bases)

    one()


def survives(draw: random.Random, bases: list[Body]) -> None:
    """Mutate a record; it is refused with a reason, or read by everybody beside a good one."""
    base = draw.choice(bases)
    bad = parse(sealed(mutated(base, draw)))
    if not isinstance(bad, Record):
        assert bad.kind in ("invalid", "newer", "torn")
        assert bad.what
        return
    precision = draw.choice([base["cell"]["precision"], "bf16"])
    other = {**base, "id": "other", "process_id": "other", "is_baseline": True,
             "cell": {**base["cell"], "precision": precision}}  # fmt: skip
    good = Record.model_validate(other)
    rows = make_rows([bad, good])  # the last good attempt counts
    assert any(record.id == "other" for row in rows for record in row.records)
    read_all(rows, [good, bad], draw)
