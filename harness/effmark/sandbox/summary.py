"""What the sandbox can promise on this machine, in one word and a sentence."""

from __future__ import annotations

from effmark.errors import PrerequisiteError
from effmark.sandbox.levels import choose_plan, level_of

__all__ = ["best_level"]


def best_level() -> tuple[str, str]:
    """Return the best level that can be had without a special permission, and what it means."""
    try:
        level = level_of(choose_plan(None, allow_weak=False))
    except PrerequisiteError as error:
        return "none", str(error)
    if level == "strong":
        return level, "strong: namespaces, seccomp and limits around every job"
    return level, "standard: seccomp and Landlock, but no namespaces"
