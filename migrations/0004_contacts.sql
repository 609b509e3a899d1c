-- Contacts that were merged or deleted, and payloads as the text they are compared and published by.
-- The previous release does not run on it: it writes payloads as json.

alter table matches alter column data type text using data::text;
alter table achievements alter column data type text using data::text;
-- Whose event it was; the achievement's contact_id is who that contact has become since. Null: the same.
alter table achievements add column match_contact_id uuid;
