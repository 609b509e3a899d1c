"""Benchmarks: each a program of its own, on a real Kafka and a real PostgreSQL."""
