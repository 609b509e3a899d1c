"""The command line: a module for each group of commands, put together in `program`.

program        the commands, and what becomes of their errors     terminal   what commands have in common
processes      worker, api, dev                                   events     send
installation   migrate, topics, config, token                     dead_letters   list, show, redrive, drop
letter_views   how dead letters look                              moments    when, or for how long
letter_choice  which dead letters a person means                  doctor     doctor
api_keys       create, list, revoke                               key_views  how API keys look
schemas        list, show, validate                               explain    explain
verdicts       what the API explains                              rescan     what Kafka still has
explain_views  how verdicts look                                  hooks      list, add, show, rotate, dry-run, calls …
hook_views     how hooks look
"""

from goalstream.cli.program import main

__all__ = ["main"]
