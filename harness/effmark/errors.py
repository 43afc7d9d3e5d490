"""Every error that effmark raises on purpose.

* EffmarkError
  x SpecError          the request is wrong; mend the suite or the command line          (exit 2)
  x PrerequisiteError  something must be installed, granted or plugged in first          (exit 3)
  x AdapterError       the adapter failed while it was being measured                    (exit 4)
    - UnsupportedError     this runtime cannot do this on this machine: outcome `unsupported`
    - OutOfMemoryError     the model or the request did not fit: outcome `oom`
  x StoreError         results cannot be written or read                                 (exit 5)

The sentence of an error: subject, what is wrong, the value, what would be right or what to do.
Lower case, no full stop, values with ``!r``.
"""

from __future__ import annotations

__all__ = [
    "AdapterError",
    "EffmarkError",
    "OutOfMemoryError",
    "PrerequisiteError",
    "SpecError",
    "StoreError",
    "UnsupportedError",
]


class EffmarkError(Exception):
    """Root of all errors that effmark raises on purpose; ends a command with `exit_code`."""

    exit_code = 1


class SpecError(EffmarkError):
    """The request is wrong: a suite, a name or an option that the user can mend."""

    exit_code = 2


class PrerequisiteError(EffmarkError):
    """Something must be installed, granted or plugged in first; the sentence says what."""

    exit_code = 3


class AdapterError(EffmarkError):
    """An adapter failed while it was being measured."""

    exit_code = 4


class UnsupportedError(AdapterError):
    """A runtime cannot do what was asked on this machine; recorded as `unsupported`."""


class OutOfMemoryError(AdapterError):
    """A model or a request did not fit into memory; recorded as `oom`."""


class StoreError(EffmarkError):
    """Results cannot be written or read."""

    exit_code = 5
