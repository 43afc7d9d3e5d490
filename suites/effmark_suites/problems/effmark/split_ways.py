"""Ways to read a text without blanks."""

from random import Random
from typing import Any

TECHNIQUE = "dynamic programming on strings"
ENTRY_POINT = "split_ways"
CHECK = "exact"
PROMPT = '''\
def split_ways(text: str, words: list[str]) -> int:
    """Count the ways to cut text into words of the list, modulo 1_000_000_007.

    The words are distinct and not empty, and each may be used any number of times. The
    empty text is cut in one way. The text has at most 6,000 letters, the list 1,500 words
    of at most 40 letters.

    >>> split_ways("abab", ["a", "b", "ab"])
    4
    >>> split_ways("abc", ["ab", "bc"])
    0
    """
'''
SIZES = ((12, 6), (500, 150), (2_000, 500), (6_000, 1_500))
EDGES: list[list[Any]] = [["", []], ["", ["a"]], ["a", []], ["aaaa", ["a", "aa", "aaa"]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Texts made of the words: of few letters, of many, of one, and one with a fault."""
    size, count = SIZES[level]
    cases: list[list[Any]] = []
    for letters, longest in (("ab", 20), ("abcdefgh", 30), ("abc", 12), ("abcd", 40)):
        words = list(letters[:2])
        words += ["".join(rng.choices(letters, k=rng.randint(2, longest))) for _ in range(count)]
        words = sorted(set(words))
        rng.shuffle(words)
        words = words[:count]
        text = ""
        while len(text) < size:
            text += rng.choice(words)
        cases.append([text[:size], words])
    cases[3][0] = cases[3][0][: size // 2] + "z" + cases[3][0][size // 2 + 1 :]
    return [*EDGES, *cases] if level == 0 else cases


def naive(text: str, words: list[str]) -> int:
    """Try every word at every place: O(text * words)."""
    ways = [1] + [0] * len(text)
    for end in range(1, len(text) + 1):
        for word in words:
            if text.endswith(word, 0, end):
                ways[end] += ways[end - len(word)]
        ways[end] %= 1_000_000_007
    return ways[-1]


def good(text: str, words: list[str]) -> int:
    """Look up the piece of every length that occurs: O(text * lengths)."""
    known = set(words)
    lengths = {len(word) for word in words}
    ways = [1] + [0] * len(text)
    for end in range(1, len(text) + 1):
        for length in lengths:
            if length <= end and text[end - length : end] in known:
                ways[end] += ways[end - length]
        ways[end] %= 1_000_000_007
    return ways[-1]


def expert(text: str, words: list[str]) -> int:
    """Walk a tree of the words from each place that can be reached: O(text * depth met)."""
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            if letter in node:
                node = node[letter]
            else:
                node[letter] = node = {}
        node["end"] = True
    size = len(text)
    ways = [1] + [0] * size
    for start in range(size):
        here = ways[start] % 1_000_000_007
        if here:
            node = tree
            end = start
            while end < size and text[end] in node:
                node = node[text[end]]
                end += 1
                if "end" in node:
                    ways[end] += here
    return ways[size] % 1_000_000_007
