-- Room for updates in place, and when rows that are dead make room for others.
-- The previous release runs on it. Whoever writes enrollments waits while their index is built, seconds for a million; readers go on until it is there.

-- Every enrollment is updated when it achieves its goals. With nothing indexed that changes then, and some room on its page, the
-- new row stays on the page and no index learns of it. The index had `satisfied_at` in it, and every update went into all indexes.
-- Serves: statistics of a workflow by the time of entry.
create index enrollments_by_entry on enrollments (account_id, workflow_id, entered_at) where entered_at is not null;
drop index enrollments_of_workflow;
alter index enrollments_by_entry rename to enrollments_of_workflow;
alter table enrollments set (fillfactor = 85);

-- Autovacuum comes when a fifth of a table is dead; of a large table that is days of work, with all that they take up meanwhile.
-- A twentieth, at a rate that keeps up with a thousand achievements a second: what it reads is mostly in memory.
alter table enrollments set (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
alter table matches set (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
alter table achievements set (
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02, autovacuum_vacuum_cost_limit = 2000);
