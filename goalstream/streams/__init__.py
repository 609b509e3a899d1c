"""Kafka: the only room that knows Faust and aiokafka; receives storage through Protocols."""
