-- What every peer works on. The benchmark fills goals and enrollments before it starts one.

create table goals (
    account_id uuid not null,
    goal_id uuid not null,
    workflow_id uuid not null,
    event_type text not null,
    wanted text not null,
    primary key (account_id, goal_id)
);

create table enrollments (
    account_id uuid not null,
    enrollment_id uuid not null,
    workflow_id uuid not null,
    contact_id uuid not null,
    primary key (account_id, enrollment_id)
);

create index on enrollments (account_id, contact_id, workflow_id);

create table achievements (
    account_id uuid not null,
    enrollment_id uuid not null,
    goal_id uuid not null,
    contact_id uuid not null,
    event_id text not null,
    achieved_at timestamptz not null,
    primary key (account_id, enrollment_id, goal_id)
);
