"""Words made of the same letters."""

from collections import Counter
from random import Random
from typing import Any

TECHNIQUE = "strings"
ENTRY_POINT = "anagram_groups"
CHECK = "exact"
PROMPT = '''\
def anagram_groups(words: list[str]) -> list[list[str]]:
    """Put words that consist of the same letters together.

    The groups come in the order of their first words, the words within a group in the order
    of the list; repeated words stay. Words are of letters a-z; there are at most 8,000, of
    at most 30 letters.

    >>> anagram_groups(["tea", "no", "eat", "on", "tee"])
    [['tea', 'eat'], ['no', 'on'], ['tee']]
    >>> anagram_groups([])
    []
    """
'''
SIZES = (10, 500, 2_000, 8_000)
EDGES: list[list[Any]] = [[[]], [[""]], [["a", "a"]], [["ab", "ba", "aab", "bba", ""]]]


def generate(level: int, rng: Random) -> list[list[Any]]:
    """Shuffled copies of few or many stems, short and long."""
    size = SIZES[level]
    cases: list[list[Any]] = []
    for stems, length in ((size // 8, 8), (size // 40 + 2, 25), (size // 10, 12), (size // 3, 3)):
        letters = [rng.choices("abcdefghijklmnop", k=length) for _ in range(stems)]
        words = []
        for _ in range(size):
            word = rng.choice(letters)[:]
            rng.shuffle(word)
            words.append("".join(word))
        cases.append([words])
    return [*EDGES, *cases] if level == 0 else cases


def naive(words: list[str]) -> list[list[str]]:
    """Compare each word with every group: O(n * groups)."""
    groups: list[tuple[list[str], list[str]]] = []
    for word in words:
        letters = sorted(word)
        for known, group in groups:
            if letters == known:
                group.append(word)
                break
        else:
            groups.append((letters, [word]))
    return [group for _, group in groups]


def good(words: list[str]) -> list[list[str]]:
    """Look groups up by how often each letter occurs: O(letters)."""
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for word in words:
        letters = tuple(sorted(Counter(word).items()))
        groups.setdefault(letters, []).append(word)
    return list(groups.values())


def expert(words: list[str]) -> list[list[str]]:
    """Look groups up by the sorted letters, which is done outside the interpreter."""
    groups: dict[str, list[str]] = {}
    for word, letters in zip(words, map("".join, map(sorted, words)), strict=True):
        if letters in groups:
            groups[letters].append(word)
        else:
            groups[letters] = [word]
    return list(groups.values())
