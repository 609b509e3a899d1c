"""HTTP: goals and statistics under /api/v1, problem+json, bearer tokens.

app       the application           server     running it              auth, tokens  who may do what
goals     routes of goals           stats      routes of statistics    bodies        what requests hold
problems  how errors are told       contract   the OpenAPI document    schemas       its request bodies
pages     /docs                     parts      what routes share
"""
