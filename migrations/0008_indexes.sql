-- Indexes that no statement takes for want of something better.
-- The previous release runs on it. Whoever writes waits while indexes are built: seconds for a million rows.

-- Begin with what is looked for, and not with the account. While a table is empty, everything costs the same, and a statement
-- keeps the plan that it gets then: of two indexes that begin with the account it may take the one of which it can use nothing
-- more, and read all that the account has.
drop index achievements_of_workflow;
-- Serves: a workflow's achievements, newest first; statistics by goal and by type; a status change.
create index achievements_of_workflow on achievements (workflow_id, account_id, achieved_at desc);
drop index achievements_of_contact;
-- Serves: a contact's achievements, newest first.
create index achievements_of_contact on achievements (contact_id, account_id, achieved_at desc);
drop index matches_of_workflow;
-- Serves: a status change, which touches the enrollments of contacts with a match at or after its time.
create index matches_of_workflow on matches (workflow_id, account_id, occurred_at);
drop index goal_versions_of_workflow;
-- Serves: settlement, which reads all versions of a workflow's goals.
create index goal_versions_of_workflow on goal_versions (workflow_id, account_id);

-- Of a range of pages BRIN keeps the earliest and the latest time that ever was there. Once what is deleted makes room for what
-- comes, every range begins long ago, and the job that looks for old rows reads the whole table, every minute.
drop index matches_by_record;
-- Serves: the job that deletes matches which no fact can change any more.
create index matches_by_record on matches (record_at);
drop index audit_by_time;
-- Serves: the job that deletes audit entries nobody may keep any longer.
create index audit_by_time on audit (at);
