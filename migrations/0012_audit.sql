-- The audit of a workflow's configuration, without its achievements, of which there may be millions.
-- The previous release runs on it. Whoever writes the audit waits while the index is built: a few seconds for ten million rows.

-- Serves: changes of a workflow's goals, newest first; nothing else takes effect from a moment on.
create index audit_of_configuration on audit (account_id, workflow_id, entry_id desc) where effective_from is not null;
