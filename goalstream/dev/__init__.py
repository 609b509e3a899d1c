"""Everything on one machine without Docker, for a first look: embedded Kafka and PostgreSQL, a simulated CRM."""
