"""Generated code scored: is it right, how fast is it, and what did it cost to get.

Problem sets, samples, verdicts and times by the sandbox; eff@k, pass@k, DPS; cost-of-pass from a
ledger of model calls. No foreign code runs outside the sandbox, and no expected answer inside it
beside foreign code.
"""
