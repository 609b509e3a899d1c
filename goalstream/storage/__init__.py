"""PostgreSQL: the only room that knows asyncpg and SQL.

pool          connections, error translation, whose rows are seen      migrate       bringing a database up to date
goals         goal configuration and its changes                        facts         storing facts, finding what they touch
achievements  settle: lock, read, write the difference                  outbox        messages still to be published
stats         how well goals convert                                    codecs        rows and JSON to domain values
"""
