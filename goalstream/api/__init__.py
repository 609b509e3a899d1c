"""HTTP: FastAPI, problem+json, bearer tokens."""
