"""The peers' programs, each written as its own documentation would have it, and what pins them.

kafka_streams/   Java source, compiled with javac against jars that jars.lock pins beside the broker's
quix/, faust/    a script and a hash-pinned requirements file each, in a virtual environment of their own
"""
