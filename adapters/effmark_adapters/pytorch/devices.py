"""Devices by name, what is absent on them, and what running out of memory looks like."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from effmark.errors import OutOfMemoryError, UnsupportedError

__all__ = ["compiler", "find_device", "memory_errors", "wait_for"]

_EXHAUSTED = ("can't allocate memory", "out of memory", "not enough memory")
"""What the messages of torch's allocators hold, where the class says only RuntimeError."""


def find_device(name: str) -> torch.device:
    """Return the device of a name: `cpu`, `cuda:0`, `rocm:0` (HIP answers to torch's cuda).

    Raises:
        UnsupportedError: no such device in this machine or this build of torch.
    """
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind not in ("cuda", "rocm") or not (number or "0").isdigit():
        raise UnsupportedError(f"torch: no device {name!r}; it knows cpu, cuda:N and rocm:N")
    built_for = "rocm" if torch.version.hip else "cuda" if torch.version.cuda else "cpu"
    if built_for != kind:
        raise UnsupportedError(f"torch: no device {name!r}, this torch is built for {built_for}")
    if int(number or 0) >= torch.cuda.device_count():
        raise UnsupportedError(
            f"torch: no device {name!r}; this machine shows {torch.cuda.device_count()}"
        )
    return torch.device("cuda", int(number or 0))


def wait_for(device: torch.device) -> None:
    """Return when all work given to a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def compiler() -> str:
    """Return the path of the C++ compiler that `torch.compile` will call.

    Raises:
        UnsupportedError: there is none.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    for name in wanted:
        found = shutil.which(name)
        if found:
            return found
    raise UnsupportedError(
        f"torch: option compile needs a C++ compiler, found no {' or '.join(wanted)}; "
        "install g++ or set CXX"
    )


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Turn what torch says when memory is used up into `OutOfMemoryError`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(f"torch: {what} did not fit into memory: {_line(error)}") from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _EXHAUSTED):
            raise
        raise OutOfMemoryError(f"torch: {what} did not fit into memory: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
