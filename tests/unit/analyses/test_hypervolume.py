from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from random import Random

import pytest

from effmark.analyses.field import Field
from effmark.analyses.finding import Quantity, TooLittle
from effmark.analyses.hypervolume import hypervolume, hypervolumes
from effmark.record import Record

Make = Callable[..., Record]


def by_inclusion_and_exclusion(points: Sequence[tuple[float, ...]]) -> float:
    """The same volume by another way: the union of boxes from the origin."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in combinations(points, size):
            volume = 1.0
            for values in zip(*chosen, strict=True):
                volume *= min(values)
            total += (-1) ** (size + 1) * volume
    return total


def test_volumes_of_known_boxes() -> None:
    assert hypervolume([(1.0, 1.0)], (0.0, 0.0)) == 1
    assert hypervolume([(1.0, 2.0), (2.0, 1.0)], (0.0, 0.0)) == 3
    assert hypervolume([(1.0, 2.0), (2.0, 1.0), (1.0, 1.0), (2.0, 1.0)], (0.0, 0.0)) == 3
    assert hypervolume([], (0.0, 0.0)) == 0
    assert hypervolume([(-1.0, 5.0)], (0.0, 0.0)) == 0  # worse than the reference in one


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_it_agrees_with_inclusion_and_exclusion(dimensions: int) -> None:
    random = Random(dimensions)
    for _ in range(20):
        points = [tuple(random.random() for _ in range(dimensions)) for _ in range(7)]
        zero = (0.0,) * dimensions
        assert hypervolume(points, zero) == pytest.approx(by_inclusion_and_exclusion(points))


def test_the_sweep_in_two_dimensions_is_the_same_volume() -> None:
    random = Random(9)
    for _ in range(20):
        flat = [(random.random(), random.random()) for _ in range(8)]
        deep = [(x, y, 1.0) for x, y in flat]
        assert hypervolume(flat, (0.0, 0.0)) == pytest.approx(hypervolume(deep, (0.0, 0.0, 0.0)))


def test_a_better_front_never_covers_less() -> None:
    random = Random(5)
    points = [(random.random(), random.random()) for _ in range(10)]
    before = 0.0
    for count in range(1, 11):
        now = hypervolume(points[:count], (0.0, 0.0))
        assert now >= before
        before = now


def test_series_and_contributions_are_told(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    records = []
    for adapter, precision, step_s, right in (
        ("torch", "fp32", 0.04, 160), ("torch", "int4", 0.02, 80),
        ("openvino", "fp32", 0.01, 160), ("openvino", "int4", 0.005, 100),
    ):  # fmt: skip
        answers = [1.0] * right + [0.0] * (200 - right)
        records += [timed(adapter, precision, step_s), asked(adapter, precision, answers)]
    found = hypervolumes(field_of(*records))
    volumes = found.values["volumes"]
    assert volumes["openvino"] == found.values["all"] > volumes["torch"]
    shares = {row[0]: row[3] for row in found.tables[0].rows}
    assert isinstance(shares["openvino"], Quantity)
    assert shares["openvino"].value == 1.0
    lost = {row[0]: row[1] for row in found.tables[1].rows}
    assert set(lost) == {"openvino fp32", "openvino int4"}
    assert all(isinstance(v, Quantity) and v.value > 0 for v in lost.values())
    assert "relative to the reference" in " ".join(found.caveats).lower()


def test_equal_numbers_span_no_axis(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [asked("torch", p, [1.0, 0.0] * 20) for p in ("fp32", "int4")]
    records += [timed("torch", p, s) for p, s in (("fp32", 0.02), ("int4", 0.01))]
    with pytest.raises(TooLittle, match="all configurations have the same accuracy"):
        hypervolumes(field_of(*records))
