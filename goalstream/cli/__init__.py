"""The command line: a module for each group of commands, put together in `program`.

program        the commands, and what becomes of their errors     terminal   what commands have in common
processes      worker, api, dev                                   events     send
installation   migrate, topics, config, token                     dead_letters   list, show, redrive, drop
letter_views   how dead letters look                              moments    when, or how long ago
letter_choice  which dead letters a person means                  doctor     doctor
schemas        list, show, validate
"""

from goalstream.cli.program import main

__all__ = ["main"]
