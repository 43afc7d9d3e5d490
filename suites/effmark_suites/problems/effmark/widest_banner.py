"""The largest banner on a row of houses."""

from random import Random
from typing import Any

TECHNIQUE = "monotonic stack"
ENTRY_POINT = "largest_banner"
CHECK = "exact"
PROMPT = '''\
def largest_banner(heights: list[int]) -> int:
    """Return the area of the largest upright rectangle that fits on a row of house fronts.

    House i is one metre wide and heights[i] >= 0 metres high; the rectangle stands on the
    ground and may span neighbouring houses that are all at least as high as it is. There
    are at most 30,000 houses; no houses, no banner: 0.

    >>> largest_banner([2, 1, 4, 5, 1])
    8
    >>> largest_banner([])
    0
    """
'''
SIZES = (10, 1_500, 7_000, 30_000)
EDGES: list[list[Any]] = [[[]], [[0, 0]], [[7]], [[3, 3, 3, 3]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Random houses, terraces of equal houses, and hills that rise or fall."""
    size = SIZES[level]
    length = 4 if level == 0 else 400
    terraces: list[int] = []
    while len(terraces) < size:
        terraces += [rng.randint(100, 200)] * length + [rng.randrange(20)]
    rising = [3 * (i % length) + rng.randrange(3) for i in range(size)]
    cases = [
        [[rng.randrange(1000) for _ in range(size)]],
        [terraces[:size]],
        [rising],
        [rising[::-1]],
    ]
    return [*EDGES, *cases] if level == 0 else cases


def naive(heights: list[int]) -> int:
    """Widen a banner of each house's height step by step: O(n * width)."""
    best = 0
    for i, height in enumerate(heights):
        left = right = i
        while left > 0 and heights[left - 1] >= height:
            left -= 1
        while right + 1 < len(heights) and heights[right + 1] >= height:
            right += 1
        best = max(best, height * (right - left + 1))
    return best


def good(heights: list[int]) -> int:
    """Find the nearest lower house on both sides with two stacks: O(n)."""
    size = len(heights)
    left, right = [-1] * size, [size] * size
    stack: list[int] = []
    for i in range(size):
        while stack and heights[stack[-1]] >= heights[i]:
            stack.pop()
        left[i] = stack[-1] if stack else -1
        stack.append(i)
    stack = []
    for i in range(size - 1, -1, -1):
        while stack and heights[stack[-1]] >= heights[i]:
            stack.pop()
        right[i] = stack[-1] if stack else size
        stack.append(i)
    return max((heights[i] * (right[i] - left[i] - 1) for i in range(size)), default=0)


def expert(heights: list[int]) -> int:
    """Close banners in one pass; a house inherits the start of those it ends: O(n)."""
    best = 0
    starts: list[int] = []
    open_heights = [-1]
    top = -1
    for i, height in enumerate(heights):
        if height > top:
            starts.append(i)
            open_heights.append(height)
            top = height
        elif height < top:
            start = i
            while height < top:
                open_heights.pop()
                start = starts.pop()
                area = top * (i - start)
                if area > best:
                    best = area
                top = open_heights[-1]
            starts.append(start)
            if height > top:
                open_heights.append(height)
                top = height
            else:
                starts.pop()
    size = len(heights)
    for start, height in zip(starts, open_heights[1:], strict=True):
        best = max(best, height * (size - start))
    return best
