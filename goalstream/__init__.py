"""goalstream decides that an enrolled contact has achieved a workflow's goal, and tells the workflow engine.

The path of a batch is a straight line: records → events → matches → settle → messages → ack.

cli             one function per command              worker          composition root of `goalstream worker`
config          Settings, the only reader of the env  errors          the exception tree
domain          pure decisions                        observability   logs and metrics
streams         Kafka: Faust app, codec, publisher    storage         PostgreSQL: facts, settlement, outbox, goals
api             HTTP                                  dev             everything on one machine, for a first look
"""

from importlib.metadata import version

__version__ = version("goalstream")
