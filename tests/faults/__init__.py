"""The promise under faults: nothing lost, nothing twice, nothing wrong, on real services with real worker processes.

Every row of the table is one module `f<number>_<what>.py` with a `ROW`; whoever adds one adds nothing else.
"""
