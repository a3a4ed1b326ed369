"""Reads what Lockstep wrote and says whether it is right; the outside judge of the pipeline.

It shares no rule with the pipeline: only names, hashes, schemas and topics. `drain` says when everything is
processed, `verify` counts what is lost, doubled or out of order. It needs nothing but a Kafka cluster (and
the split store's folder where there is one). Tested in tests/verify/, where every fault is planted once.
"""
