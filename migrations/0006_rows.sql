-- Composite types in which rows travel: one array parameter for a statement, whose elements are cheap to write and to read.
-- Apart from the tables, so that a release knows its own columns, whatever a later one adds to a table.
-- The previous release runs on it: only new types.

create type match_row as (
    account_id uuid, contact_id uuid, goal_id uuid, occurred_at timestamptz, source text, event_id text, workflow_id uuid,
    goal_version integer, goal_type text, event_type text, occurred_at_source text, clock_ahead boolean,
    record_at timestamptz, data text, traceparent text, enrollment_id uuid);

create type enrollment_start_row as (
    fact_id uuid, account_id uuid, enrollment_id uuid, workflow_id uuid, contact_id uuid, entered_at timestamptz,
    trigger_event_id text, source text, event_id text, record_at timestamptz);

create type enrollment_row as (
    account_id uuid, enrollment_id uuid, workflow_id uuid, contact_id uuid, entered_at timestamptz, ended_at timestamptz,
    satisfied_at timestamptz, exited_at timestamptz);

create type achievement_row as (
    account_id uuid, enrollment_id uuid, goal_id uuid, workflow_id uuid, contact_id uuid, match_contact_id uuid,
    match_enrollment_id uuid, goal_version integer, goal_type text, achieved_at timestamptz, recorded_at timestamptz,
    revision integer, source text, event_id text, event_type text, occurred_at_source text, clock_ahead boolean,
    record_at timestamptz, data text, traceparent text, late boolean, also_matched uuid[], met integer, required integer,
    should_exit_workflow boolean, revoked_at timestamptz, revoked_reason text,
    action text, before jsonb);  -- for the audit: what is done to the row, and what it said before

create type outbox_row as (
    account_id uuid, message_id uuid, topic text, subject text, "time" timestamptz, body text, traceparent text);
