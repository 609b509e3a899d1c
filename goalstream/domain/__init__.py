"""Pure decisions: no input or output, no clock, no async, no logging; standard library only.

goals        goal types, criteria, goal versions     events       events and their data, per type
goal_table   which goal versions match an event      facts        what is stored, each once
settlement   facts of an enrollment → what holds     messages     what is published about it
references   what the CRM has; what criteria miss    values       how all of these are made
ids          deterministic ids                       amounts, durations, texts   values at the edge
explanation  why, with both values of a rule         differences  what an event lacks of criteria
wording      times in sentences
evaluation   what an event would do                  arguments, documents   what programs tell and get in-process
"""
