"""HTTP: goals and statistics under /api/v1, problem+json, bearer tokens.

app       the application           server     running it              auth, tokens  who may do what
goals     routes of goals           stats      routes of statistics    activation    a workflow's goals checked
bodies    what requests hold        contract   the OpenAPI document    schemas       its request bodies
problems  how errors are told       pages      /docs                   parts         what routes share
"""
