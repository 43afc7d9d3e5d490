"""What ENAMEL's input generators call; this file is sent into the sandbox as text.

Same names, and the same calls to `random` in the same order, as in q-rz/enamel, so that a seed
gives the authors' inputs.
"""

import random
import string
from typing import Any

__all__ = ["miller_rabin", "rand_parens", "rand_primality", "rand_probably_prime", "string"]


def rand_parens(size: int, valid: bool = True, par: str = "()", sep: Any = "") -> Any:
    """Return a random bracket word, its outermost groups joined by `sep` (a list if None)."""
    if not valid:
        half = (size + 1) // 2 - 1
        before = rand_parens(half, True, par)
        return before + par[1] + par[0] + rand_parens(half, True, par)
    length = size + size % 2
    groups: list[str] = []
    depth = 0
    for left in range(length, 0, -1):
        opens = depth == 0 or (depth < left and random.randint(0, 1) == 1)
        if depth == 0:
            groups.append("")
        groups[-1] += par[0] if opens else par[1]
        depth += 1 if opens else -1
    return groups if sep is None else sep.join(groups)


def miller_rabin(n: int, k: int = 5) -> bool:
    """Return whether a number is prime, almost surely."""
    if n in (2, 3):
        return True
    if n == 1 or n % 2 == 0:
        return False
    odd = n - 1
    twos = (odd & -odd).bit_length() - 1
    odd >>= twos
    return all(_is_no_witness(random.randint(2, n - 2), n, odd, twos) for _ in range(k))


def _is_no_witness(base: int, n: int, odd: int, twos: int) -> bool:
    power = pow(base, odd, n)
    if power in (1, n - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % n
        if power == n - 1:
            return True
    return False


def rand_probably_prime(lb: int, ub: int | None = None) -> int:
    """Return a prime between the bounds; between n / 2 and n for a single n."""
    if ub is None:
        top = max(lb, 3)
        low, high = top // 2, top
    else:
        low = max(lb, 0)
        high = max(low * 2, ub, 3)
    while not miller_rabin(found := random.randint(low, high)):
        pass
    return found


def rand_primality(size: int, lid: int, cid: int) -> int:
    """Return a number whose primality is worth testing: known traps first, then random ones."""
    size = max(size, 4)
    traps = (2 * 3 * 5 * 7 * 11 * 13 + 1, 561, 2, 125)
    if lid == 0 and cid < len(traps):
        return traps[cid]
    if cid % 3 == 0:
        return rand_probably_prime(size)
    root = int(size**0.5 + 1)
    if cid % 3 == 1:
        return rand_probably_prime(root) ** 2
    return rand_probably_prime(root) * rand_probably_prime(root)
