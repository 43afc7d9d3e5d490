"""Other people's formats: numbers go out to dashboards and CI, reports of other tools come in.

What goes out is what ranks, unless everything is asked for; a missing number stays missing, never
0. What comes in is foreign: it keeps its samples and its units are converted, but it is marked and
holds no rank, because it was measured by other rules.
"""

from effmark.exchange.catalogue import EXPORTS, IMPORTS

__all__ = ["EXPORTS", "IMPORTS"]
