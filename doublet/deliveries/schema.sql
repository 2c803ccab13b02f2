-- What shops delivered: see __init__.py.

-- One row per delivery that was taken lately, so that a repeat is known.
create table if not exists seen (
  shop_id text not null,
  delivery_id text not null,
  seen_at integer not null, -- Unix seconds, as all times here
  primary key (shop_id, delivery_id)
) without rowid;
create index if not exists seen_by_age on seen (seen_at);

-- One row per shop, topic and outcome. What nobody proved has no topic.
create table if not exists counts (
  shop_id text not null,
  topic text not null,
  outcome text not null,
  deliveries integer not null,
  last_at integer not null,
  primary key (shop_id, topic, outcome)
) without rowid;

-- One row per cart or checkout whose visitor is known. `fields` is JSON of user_data: fbp, fbc,
-- client_ip_address, client_user_agent.
create table if not exists visitors (
  shop_id text not null,
  token text not null,
  fields text not null,
  seen_at integer not null,
  primary key (shop_id, token)
) without rowid;
create index if not exists visitors_by_age on visitors (seen_at);

-- One row per errand. `asked_at` is that of the latest delivery that asked for it, `outcome` null
-- until it is done or given up.
create table if not exists errands (
  errand_id integer primary key,
  shop_id text not null,
  account_id text not null,
  kind text not null,
  subject text not null,
  asked_at integer not null, -- in nanoseconds, to tell two deliveries apart
  tries integer not null default 0,
  due_at integer not null,
  problem text not null default '',
  outcome text,
  done_at integer
);
create unique index if not exists errands_open on errands (shop_id, kind, subject) where outcome is null;
create index if not exists errands_due on errands (due_at) where outcome is null;
