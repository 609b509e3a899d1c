-- Statistics of workflows with more than 100,000 enrollments, counted beforehand by the time of entry.
-- The previous release runs on it. It leaves no marks: what it changes is counted within a day.

-- Enrollments whose numbers changed, by where they count: one row for each change, until the next roll-up takes it. Nobody looks
-- for one of them, so there is no key, which would cost more than the row.
create table statistics_marks (
    account_id  uuid        not null,
    workflow_id uuid        not null,
    entered_at  timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 1000000, autovacuum_vacuum_cost_delay = 0);

-- How many enrollments a workflow has at most: as counted once, and one more for every mark since.
create table workflow_sizes (
    account_id  uuid   not null,
    workflow_id uuid   not null,
    enrollments bigint not null,
    primary key (account_id, workflow_id)
) with (fillfactor = 50);
select set_config('goalstream.scope', 'worker', true);
insert into workflow_sizes
select account_id, workflow_id, count(*) from enrollments where entered_at is not null group by account_id, workflow_id;

-- The workflows whose statistics are rolled up.
create table rollups (
    account_id  uuid not null,
    workflow_id uuid not null,
    as_of       timestamptz,  -- everything that was committed before is counted; null until all has been counted once
    checked_to  timestamptz,  -- of the check that counts everything again: all that entered before has been; null between checks
    checked_at  timestamptz,  -- when the last check had counted everything
    primary key (account_id, workflow_id)
);

create table rollup_spans (
    account_id  uuid        not null,
    workflow_id uuid        not null,
    level       smallint    not null,  -- 0: 15 minutes, 1: a day, 2: 28 days
    starts_at   timestamptz not null,
    enrolled    bigint      not null,
    satisfied   bigint      not null,
    seconds     numeric,               -- of all times to goal together; null where nobody is satisfied, as all that follow
    fastest     numeric,
    slowest     numeric,
    bins        integer[],             -- times to goal in bins of ten minutes, ascending, and how many are in each
    counts      bigint[],
    achieved    jsonb,                 -- enrollments by goal id, and by goal type; null where nothing is achieved
    -- Serves: the spans of a cohort, and the series, from the index alone.
    primary key (account_id, workflow_id, level, starts_at) include (enrolled, satisfied)
);

do $$
declare name text;
begin
    foreach name in array array['statistics_marks', 'workflow_sizes', 'rollups', 'rollup_spans'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
