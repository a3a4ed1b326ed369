"""Adapters: each implements a port on something real, or in memory for tests, and passes that port's contract suite."""
