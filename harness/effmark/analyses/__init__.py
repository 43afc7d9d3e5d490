"""Many records to answers: pure functions of rows, each with its source and its limits.

Every analysis returns a `Finding` (a sentence, tables, what it does not say) or raises `TooLittle`
with what it would need; none makes a number out of nothing.
"""

from effmark.analyses.catalogue import ANALYSES
from effmark.analyses.finding import Finding, Quantity, Table, TooLittle, finding_json

__all__ = ["ANALYSES", "Finding", "Quantity", "Table", "TooLittle", "finding_json"]
