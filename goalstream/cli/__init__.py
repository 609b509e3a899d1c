"""The command line: a module for each group of commands, put together in `program`.

program        the commands, and what becomes of their errors     terminal   what commands have in common
processes      worker, api, dev                                   events     send
installation   migrate, topics, config, token
"""

from goalstream.cli.program import main

__all__ = ["main"]
