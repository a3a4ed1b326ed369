"""Lockstep: a messaging engine on Apache Kafka in which every device of a recipient ends with the same inbox.

Importing this package has no effects and loads nothing: take what you need from its modules,
for instance `streams.client` to send and read messages, `streams.topology` for names of topics.
"""
