"""HTTP: goals and statistics under /api/v1, problem+json, bearer tokens.

app       the application           server     running it              auth          who may do what, and how often
goals     routes of goals           stats      routes of statistics    activation    a workflow's goals checked
history   versions and audit        listings   workflows, achievements  cursors      where a page ended
why       verdicts, timelines
bodies    what requests hold        contract   the OpenAPI document    schemas       its request bodies
documents what comes out            examples   one of each             idempotency   a repeated request
hardening what holds for every request
problems  how errors are told       pages      /docs                   parts         what routes share
gate      who asks                  tokens     JWT, and their rules    rate_limit    token buckets
me        who that is               console    the page                feed          what happens
jwks      which public keys count   remote_keys  keeping them fresh    fetch         reading a document from elsewhere
jwks_checkup  what the doctor asks
"""
