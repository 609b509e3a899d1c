"""PostgreSQL: the only room that knows asyncpg and SQL.

pool           connections, error translation, whose rows are seen     migrate       bringing a database up to date
goals          a workflow's goals: create, change, delete, show        goal_changes  the lock that proves every change
goal_versions  a goal's newest version, read and written               references    what the CRM has, so that goals may name it
facts          storing facts, finding what they touch                  ledger        store, then settle
achievements   settle: lock, read, write the difference                outbox        messages still to be published
activation     whether a workflow's goals name what exists            stats         how well goals convert
cohorts        counting enrollments live, or from what is rolled up   roll_up       keeps what large workflows come to
spans          SQL that counts by time of entry, and adds up          codecs        rows and JSON to domain values
workflow_goals all that a workflow's goals were, for one event        cleaning      deletes what is old
why            why a contact did or did not achieve, its timeline     persons       a contact under all its ids
api_keys       keys of the API: made, looked up, revoked              idempotency   answers kept for requests that are repeated
"""
