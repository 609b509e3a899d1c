"""HTTP out: messages are sent to the endpoints of accounts, whose addresses are never trusted. Nothing here waits for the stream,
nor the stream for anything here.
"""
