-- Answers to requests that named themselves: a repetition gets the first answer again.
-- The previous release runs on it: only a new table.

create table idempotency_keys (
    account_id  uuid        not null,
    key         text        not null,
    fingerprint bytea       not null check (octet_length(fingerprint) = 32),  -- SHA-256 of what was asked
    status      smallint    not null,
    headers     text        not null,  -- a JSON object
    body        bytea       not null,
    answered_at timestamptz not null,
    -- Serves: the look-up of a request, which names both.
    primary key (account_id, key)
);

-- Serves: the removal of what is older than a day.
create index idempotency_keys_by_time on idempotency_keys (answered_at);

alter table idempotency_keys enable row level security, force row level security;
create policy one_account on idempotency_keys using (
    account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
    or (select current_setting('goalstream.scope', true)) = 'worker');
