"""What a person on call looks at: logs, metrics, health and the pages that show them.

logs      how log lines look         metrics   every metric, with its meaning
health    what is wrong now          probes    /livez, /readyz, /metrics
"""
