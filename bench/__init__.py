"""Benchmarks: Lockstep and its peers on the same broker, the same input, in one sitting, every output checked.

    make bench                    all jobs, three interleaved runs, a report under bench/reports
    make bench QUICK=1            the short form, below eight minutes
    python -m bench two-hop       one job; `python -m bench --help` lists them

A figure counts only when the run's output was right: exactly the distinct tokens, each once, every recipient 1..n.
Not a part of the product: nothing under streams/ knows this package. The pure parts are tested in tests/bench.
"""
