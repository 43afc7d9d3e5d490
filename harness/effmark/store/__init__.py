"""The journals: append-only JSON lines, one file per writer, the only truth about results.

`results/<suite>-v<version>/<start>-<host>-<pid>.jsonl`, one record a line, the last key of each
line a CRC-32 of all bytes before it. A record is one `os.write`, then fsync: a writer that is
killed leaves at most one torn line, which readers count and skip, and no two writers share a
file. What lies beside the journals (`.effmark-cache`) can be deleted at any time.
"""

from effmark.store.attempts import countable, latest, machine_of, standing
from effmark.store.damage import Damage
from effmark.store.journal import Journal, results_folder
from effmark.store.lines import decode, encode
from effmark.store.migrations import MIGRATIONS, upgrade
from effmark.store.reading import (
    Place,
    journals_of,
    parse,
    place_order,
    read_lines,
    read_records,
)

__all__ = [
    "MIGRATIONS",
    "Damage",
    "Journal",
    "Place",
    "countable",
    "decode",
    "encode",
    "journals_of",
    "latest",
    "machine_of",
    "parse",
    "place_order",
    "read_lines",
    "read_records",
    "results_folder",
    "standing",
    "upgrade",
]
