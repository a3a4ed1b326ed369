"""A model of one shard under faults: its log, the broker's transactions, and workers that claim it.

Only the rules are real (streams.engine.claims, streams.engine.opening); everything they meet is modelled
here, and every choice comes from a seed. `python -m tests.simulation --help`; what it found stands in
docs/simulation.md.
"""
