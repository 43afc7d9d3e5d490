"""The catalogue: a Parquet table of all records of a folder, for questions to large folders.

It is a cache: what it says is read from the journals, it is brought up to date by reading only what
was appended to them, and it can be deleted at any time. It needs `duckdb`; without it every
question is answered from the journals themselves.
"""

from effmark.catalogue.catalogue import Catalogue, CatalogueAbsent
from effmark.catalogue.columns import COLUMNS, NUMBERS, line_of, line_values
from effmark.catalogue.folder import CACHE_FOLDER, LARGE_B, cache_folder, is_large

__all__ = [
    "CACHE_FOLDER",
    "COLUMNS",
    "LARGE_B",
    "NUMBERS",
    "Catalogue",
    "CatalogueAbsent",
    "cache_folder",
    "is_large",
    "line_of",
    "line_values",
]
