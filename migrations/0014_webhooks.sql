-- Webhooks: where messages are sent over HTTP, each message to each of them as a delivery with its attempts; and the audit of both.
-- The previous release runs on it: only new tables.

create table webhooks (
    account_id          uuid        not null,
    webhook_id          uuid        not null,
    url                 text        not null,
    description         text        not null,
    topics              text[]      not null,  -- of the messages that are sent
    secrets             bytea       not null,  -- encrypted
    is_paused           boolean     not null,
    version             integer     not null,
    created_at          timestamptz not null,
    created_by          text        not null,
    updated_at          timestamptz not null,
    updated_by          text        not null,
    -- Of the deliverers: when there is something to do; whose turn it is; and how the endpoint fares.
    due_at              timestamptz not null default 'infinity',
    served_at           timestamptz not null default '-infinity',
    lease               uuid,
    leased_until        timestamptz not null default '-infinity',
    failures_in_a_row   integer     not null default 0,
    circuit_open_until  timestamptz,           -- null while it is closed
    primary key (account_id, webhook_id)
);
-- Serves: the deliverers, which look for endpoints with something to do.
create index webhooks_by_due on webhooks (due_at) where not is_paused;

create table webhook_deliveries (
    account_id      uuid        not null,
    webhook_id      uuid        not null,
    message_id      uuid        not null,
    topic           text        not null,
    contact_id      uuid,                      -- null: the message is about nobody
    occurred_at     timestamptz not null,      -- what the message says
    body            text        not null,      -- JSON, without personal data once that is erased
    state           text        not null check (state in ('pending', 'delivered', 'parked')),
    attempts        integer     not null default 0,
    created_at      timestamptz not null,
    next_attempt_at timestamptz,               -- null unless it is pending
    give_up_at      timestamptz,               -- from the first attempt on
    ended_at        timestamptz
);
-- Serves: the deliverers, which read what is due for an endpoint.
create index webhook_deliveries_by_due on webhook_deliveries (account_id, webhook_id, next_attempt_at)
    where state = 'pending';
-- Serves: the delivery log, newest first.
create index webhook_deliveries_log on webhook_deliveries (account_id, webhook_id, created_at desc, message_id desc);
-- Serves: the erasure of a contact's personal data.
create index webhook_deliveries_of_contact on webhook_deliveries (account_id, contact_id) where contact_id is not null;
-- Serves: the removal of what is old.
create index webhook_deliveries_by_time on webhook_deliveries (created_at);
-- Of indexes that cost the same in an empty table, a plan takes the newest: so these come last.
alter table webhook_deliveries add primary key (account_id, webhook_id, message_id);
-- Serves: the log of one state.
create index webhook_deliveries_log_of_state on webhook_deliveries
    (state, account_id, webhook_id, created_at desc, message_id desc);

create table webhook_attempts (
    account_id       uuid        not null,
    webhook_id       uuid        not null,
    message_id       uuid        not null,
    at               timestamptz not null,
    url              text        not null,
    headers          text        not null,     -- a JSON object
    duration_seconds float8      not null,
    status           smallint,                 -- of the answer; null: there was none
    error            text,                     -- why it does not count as delivered; null: it does
    answer           text,                     -- its beginning
    -- Serves: the attempts of a delivery, in their order.
    primary key (account_id, webhook_id, message_id, at)
);
-- Serves: the removal of what is old.
create index webhook_attempts_by_time on webhook_attempts (at);

do $$
declare name text;
begin
    foreach name in array array['webhooks', 'webhook_deliveries', 'webhook_attempts'] loop
        execute format('alter table %I enable row level security, force row level security', name);
        execute format($policy$
            create policy one_account on %I using (
                account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
                or (select current_setting('goalstream.scope', true)) = 'worker')
        $policy$, name);
    end loop;
end $$;
