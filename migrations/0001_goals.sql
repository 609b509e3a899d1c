-- Goals and their immutable versions, and who changed what.
-- First migration: there is no previous release to run on it.

create table goals (
    account_id   uuid        not null,
    goal_id      uuid        not null,
    workflow_id  uuid        not null,
    goal_type    text        not null,
    criteria_key text        not null,  -- digest of the newest canonical criteria
    version      integer     not null check (version > 0),
    created_at   timestamptz not null,
    created_by   text        not null,
    deleted_at   timestamptz,
    primary key (account_id, goal_id)
);
-- Serves: no two goals of a workflow with the same criteria; a deleted goal's place and criteria are free again.
create unique index goals_same_criteria on goals (account_id, workflow_id, goal_type, criteria_key)
    where deleted_at is null;
-- Serves: listing a workflow's goals in the order of creation.
create index goals_of_workflow on goals (account_id, workflow_id, created_at, goal_id);

-- Numbers changes in the order of their commits: writers hold an exclusive advisory lock while they take one.
create sequence goal_changes as bigint;

create table goal_versions (
    account_id                 uuid        not null,
    goal_id                    uuid        not null,
    version                    integer     not null check (version > 0),
    workflow_id                uuid        not null,
    goal_type                  text        not null,
    criteria                   jsonb       not null,
    is_active                  boolean     not null,
    is_deleted                 boolean     not null,
    window_seconds             bigint      check (window_seconds > 0),
    measure_after_exit_seconds bigint      not null check (measure_after_exit_seconds >= 0),
    effective_from             timestamptz not null,  -- in force until the next version's
    goal_created_at            timestamptz not null,
    written_at                 timestamptz not null,
    written_by                 text        not null,
    change_id                  bigint      not null default nextval('goal_changes'),
    primary key (account_id, goal_id, version)
);
-- Serves: settlement, which reads all versions of a workflow's goals.
create index goal_versions_of_workflow on goal_versions (account_id, workflow_id);
-- Serves: the workers' refresh, which reads what came after the last change it knows.
create index goal_versions_by_change on goal_versions (change_id);

create table audit (
    account_id     uuid        not null,
    entry_id       bigint      generated always as identity,
    at             timestamptz not null,
    actor          text        not null,  -- a token's subject, or 'goalstream'
    action         text        not null,
    workflow_id    uuid        not null,
    goal_id        uuid,
    version        integer,
    enrollment_id  uuid,
    contact_id     uuid,
    before         jsonb,
    after          jsonb,
    effective_from timestamptz,
    primary key (account_id, entry_id)
);
-- Serves: a workflow's audit, newest first.
create index audit_of_workflow on audit (account_id, workflow_id, entry_id desc);

do $$
declare name text;
begin
    foreach name in array array['goals', 'goal_versions', 'audit'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
