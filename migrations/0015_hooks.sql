-- Hooks: where external systems send their events over HTTP, and the calls that were signed as they should be.
-- The previous release runs on it: only new tables.

create table hooks (
    account_id  uuid        not null,
    hook_id     uuid        not null,
    name        text        not null,
    scheme      text        not null,          -- how calls are signed
    mapping     text        not null,          -- JSON: how a body becomes events
    secrets     bytea       not null,          -- encrypted
    is_paused   boolean     not null,
    version     integer     not null,
    created_at  timestamptz not null,
    created_by  text        not null,
    updated_at  timestamptz not null,
    updated_by  text        not null,
    primary key (account_id, hook_id)
);

create table hook_calls (
    account_id  uuid        not null,
    hook_id     uuid        not null,
    call_id     text        not null,          -- the sender's own id of what it tells, the same when it repeats it
    received_at timestamptz not null,
    signature   bytea       not null check (octet_length(signature) = 32),  -- SHA-256 of the headers that sign it
    status      smallint    not null,
    answer      text        not null,          -- JSON
    primary key (account_id, hook_id, call_id)
);
-- Serves: the calls of a hook, newest first. The condition holds for all: it keeps the look-up of one call to the key.
create index hook_calls_log on hook_calls (account_id, hook_id, received_at desc, call_id desc) where status > 0;
-- Serves: the removal of what is old.
create index hook_calls_by_time on hook_calls (received_at);

do $$
declare name text;
begin
    foreach name in array array['hooks', 'hook_calls'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
