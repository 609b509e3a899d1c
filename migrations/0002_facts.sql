-- Facts: each stored once, keyed by what it is; only its record's timestamp is ever lowered.
-- The previous release runs on it: only new tables.

-- The row that settlement locks, with what the facts add up to. Written by whoever sees the enrollment first,
-- corrected by settlement.
create table enrollments (
    account_id    uuid not null,
    enrollment_id uuid not null,
    workflow_id   uuid,         -- null until a start is known
    contact_id    uuid,
    entered_at    timestamptz,
    ended_at      timestamptz,
    satisfied_at  timestamptz,  -- when the event occurred that satisfied the goal logic
    exited_at     timestamptz,  -- achieved_at of the one exit sent
    primary key (account_id, enrollment_id)
);
-- Serves: statistics of a workflow by the time of entry, from the index alone.
create index enrollments_of_workflow on enrollments (account_id, workflow_id, entered_at)
    include (enrollment_id, satisfied_at) where entered_at is not null;

create table enrollment_starts (
    account_id       uuid        not null,
    enrollment_id    uuid        not null,
    fact_id          uuid        not null,  -- digest of everything but the record's timestamp
    workflow_id      uuid        not null,
    contact_id       uuid        not null,
    entered_at       timestamptz not null,
    trigger_event_id text,
    source           text        not null,
    event_id         text        not null,
    record_at        timestamptz not null,
    primary key (account_id, enrollment_id, fact_id)
);
-- Serves: from a match to the enrollments that it may touch.
create index enrollment_starts_of_contact on enrollment_starts (account_id, contact_id, workflow_id)
    include (enrollment_id);

create table enrollment_ends (
    account_id    uuid        not null,
    enrollment_id uuid        not null,
    fact_id       uuid        not null,
    ended_at      timestamptz not null,
    reason        text,
    source        text        not null,
    event_id      text        not null,
    record_at     timestamptz not null,
    primary key (account_id, enrollment_id, fact_id)
);

create table workflow_statuses (
    account_id  uuid        not null,
    workflow_id uuid        not null,
    fact_id     uuid        not null,
    name        text,
    status      text        not null,
    goal_logic  text        check (goal_logic in ('any', 'all')),
    occurred_at timestamptz not null,
    source      text        not null,
    event_id    text        not null,
    record_at   timestamptz not null,
    primary key (account_id, workflow_id, fact_id)
);

create table matches (
    account_id         uuid        not null,
    contact_id         uuid        not null,
    goal_id            uuid        not null,
    occurred_at        timestamptz not null,
    source             text        not null,
    event_id           text        not null,
    workflow_id        uuid        not null,
    goal_version       integer     not null,
    goal_type          text        not null,
    event_type         text        not null,
    occurred_at_source text        not null check (occurred_at_source in ('event', 'record')),
    clock_ahead        boolean     not null,
    record_at          timestamptz not null,
    data               json,       -- canonical, so that a repeated message is the same to the byte; null once erased
    traceparent        text,
    primary key (account_id, contact_id, goal_id, occurred_at, source, event_id)
);
-- Serves: a status change, which touches the enrollments of contacts with a match at or after its time.
create index matches_of_workflow on matches (account_id, workflow_id, occurred_at);

do $$
declare name text;
begin
    foreach name in array array['enrollments', 'enrollment_starts', 'enrollment_ends', 'workflow_statuses', 'matches'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
