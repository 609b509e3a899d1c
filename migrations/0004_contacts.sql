-- Contacts that were merged or deleted; matches recorded for one enrollment; payloads as the text they are compared by; and
-- what the jobs need that clean up.
-- The previous release does not run on it: it writes payloads as json.

create table contact_merges (
    account_id      uuid        not null,
    contact_id      uuid        not null,
    fact_id         uuid        not null,  -- digest of everything but the record's timestamp
    into_contact_id uuid        not null,
    occurred_at     timestamptz not null,
    source          text        not null,
    event_id        text        not null,
    record_at       timestamptz not null,
    primary key (account_id, contact_id, fact_id)
);
-- Serves: from a contact to those that were merged into it.
create index contact_merges_into on contact_merges (account_id, into_contact_id) include (contact_id);

create table contact_deletions (
    account_id  uuid        not null,
    contact_id  uuid        not null,
    fact_id     uuid        not null,
    occurred_at timestamptz not null,
    source      text        not null,
    event_id    text        not null,
    record_at   timestamptz not null,
    primary key (account_id, contact_id, fact_id)
);

do $$
declare name text;
begin
    foreach name in array array['contact_merges', 'contact_deletions'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;

alter table matches alter column data type text using data::text;
alter table achievements alter column data type text using data::text;

-- The only enrollment that a match may count for, where somebody recorded it for one; the nil UUID stands for none.
alter table matches add column enrollment_id uuid not null default '00000000-0000-0000-0000-000000000000';
alter table matches drop constraint matches_pkey;
alter table matches add primary key (account_id, contact_id, goal_id, occurred_at, source, event_id, enrollment_id);
-- The same of the match that an achievement stands for, and whose event it was: contact_id is who that contact became.
alter table achievements add column match_enrollment_id uuid;
alter table achievements add column match_contact_id uuid;

-- Serves: the job that deletes matches which no fact can change any more. Small, since records come in the order of time.
create index matches_by_record on matches using brin (record_at);
-- Serves: the job that removes enrollments which ended long ago.
create index enrollments_by_end on enrollments (ended_at) where ended_at is not null;
-- Serves: the same for the audit.
create index audit_by_time on audit using brin (at);
