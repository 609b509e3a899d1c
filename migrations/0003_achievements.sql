-- What is derived from facts: achievements, and the messages about them that are still to be published.
-- The previous release runs on it: only new tables.

create table achievements (
    account_id           uuid        not null,
    enrollment_id        uuid        not null,
    goal_id              uuid        not null,
    workflow_id          uuid        not null,
    contact_id           uuid        not null,
    goal_version         integer     not null,
    goal_type            text        not null,
    achieved_at          timestamptz not null,
    recorded_at          timestamptz not null,
    revision             integer     not null check (revision > 0),
    source               text        not null,
    event_id             text        not null,
    event_type           text        not null,
    occurred_at_source   text        not null,
    clock_ahead          boolean     not null,
    record_at            timestamptz not null,
    data                 json,
    traceparent          text,
    late                 boolean     not null,
    also_matched         uuid[]      not null,
    met                  integer     not null,
    required             integer     not null,
    should_exit_workflow boolean     not null,
    revoked_at           timestamptz,
    revoked_reason       text,
    primary key (account_id, enrollment_id, goal_id)
);
-- Serves: a workflow's achievements, newest first; statistics by goal and by type; a status change.
create index achievements_of_workflow on achievements (account_id, workflow_id, achieved_at desc);
-- Serves: a contact's achievements, newest first.
create index achievements_of_contact on achievements (account_id, contact_id, achieved_at desc);

create table outbox (
    account_id    uuid        not null,
    message_id    uuid        not null,
    topic         text        not null,
    subject       text        not null,
    time          timestamptz not null,
    body          text        not null,  -- the message's JSON, as it goes out
    traceparent   text,
    created_at    timestamptz not null,
    publish_after timestamptz not null,  -- a little ahead where the writer publishes itself
    primary key (account_id, message_id)
);
-- Serves: the sweepers, which publish what is due.
create index outbox_by_due_time on outbox (publish_after);

do $$
declare name text;
begin
    foreach name in array array['achievements', 'outbox'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
