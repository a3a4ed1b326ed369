"""The engine: units of work on Kafka, state in RocksDB, ownership by claims, Faust as the host.

The only package that knows Faust, aiokafka and rocksdict together. It runs any set of stages (ports.Stage) over
the shards it owns and knows nothing of what they decide.
"""
