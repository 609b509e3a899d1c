-- References: the CRM's tags, forms and so on, which goals' criteria name by id.
-- The previous release runs on it: only a new table.

create table crm_references (
    account_id   uuid        not null,
    kind         text        not null
        check (kind in ('tag', 'form', 'calendar', 'service', 'product', 'pipeline', 'stage')),
    reference_id text        not null,
    name         text,
    parent_id    text,                   -- a stage's pipeline
    is_deleted   boolean     not null,   -- kept, so that it stays known that such a reference was ever received
    record_at    timestamptz not null,
    -- The greatest change holds, by these four in this order; texts by code point.
    occurred_at  timestamptz not null,
    event_id     text        not null collate "C",
    source       text        not null collate "C",
    payload      text        not null collate "C",
    -- Serves: the check of a goal's criteria by id, and whether anything of a kind was ever received.
    primary key (account_id, kind, reference_id)
);

alter table crm_references enable row level security, force row level security;
create policy one_account on crm_references using (
    account_id = (select nullif(current_setting('goalstream.account', true), '')::uuid)
    or (select current_setting('goalstream.scope', true)) = 'worker');
