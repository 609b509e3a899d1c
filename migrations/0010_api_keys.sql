-- API keys: who may use the API without a token of an identity provider; and an audit that is not about a workflow.
-- The previous release runs on it: only a new table, and a column that it always fills.

create table api_keys (
    account_id   uuid        not null,
    key_id       uuid        not null,
    digest       bytea       not null check (octet_length(digest) = 32),  -- SHA-256 of the key, which nobody keeps
    name         text        not null,
    scopes       text[]      not null,
    created_at   timestamptz not null,
    created_by   text        not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    revoked_by   text,
    last_used_at timestamptz,          -- to the minute
    -- Serves: the look-up of a request, whose key names both.
    primary key (account_id, key_id)
);

alter table api_keys enable row level security, force row level security;
create policy one_account on api_keys using (
    account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
    or (select current_setting('goalstream.scope', true)) = 'worker');

alter table audit alter column workflow_id drop not null;
