-- The outbox, relay.sqlite. Times are in microseconds since 1970, UTC.

-- So far the copies of each log slot have been looked at.
create table if not exists positions (
  log_slot integer primary key,
  log_offset integer not null
) strict;

-- One row per (destination, event), the ledger: the event is that which has the copy at this place,
-- whatever else joins it. `payload` is the event as it was when it was due, kept while it may be
-- needed; `trace` is what was sent. A correction is known by the place of
-- the message about an order, and bears that of the Purchase that it corrects.
-- waiting → ready → sent | failed | withheld; failed → ready again when somebody replays it.
create table if not exists emissions (
  emission_id integer primary key,
  destination_id text not null,
  log_slot integer not null,
  log_offset integer not null,
  pixel_id text not null,
  event_name text not null,
  event_id text,
  event_time integer not null,
  state text not null,
  reason text not null default '',
  message text not null default '',
  due_at integer not null,
  is_correction integer not null default 0,
  corrects_slot integer,
  corrects_offset integer,
  settled_at integer,
  request_id integer,
  payload blob,
  trace blob,
  unique (destination_id, log_slot, log_offset)
) strict;
create index if not exists emissions_to_do on emissions (destination_id, state, due_at)
  where state in ('waiting', 'ready', 'failed');
create index if not exists emissions_by_place on emissions (log_slot, log_offset);
create index if not exists emissions_by_purchase on emissions (corrects_slot, corrects_offset)
  where corrects_slot is not null;
create index if not exists emissions_settled on emissions (settled_at)
  where settled_at is not null;
-- What is tidied every minute must not be looked for in all that was sent for months.
create index if not exists emissions_traced on emissions (settled_at) where trace is not null;
create index if not exists emissions_failed on emissions (settled_at) where state = 'failed';

-- How many emissions are in each state, kept by triggers, so that it adds up; what is forgotten
-- after years stays counted.
create table if not exists tallies (
  destination_id text not null,
  state text not null,
  reason text not null,
  events integer not null,
  primary key (destination_id, state, reason)
) strict, without rowid;
create trigger if not exists emission_made after insert on emissions begin
  insert into tallies values (new.destination_id, new.state, new.reason, 1)
  on conflict do update set events = events + 1;
end;
create trigger if not exists emission_moved after update of state, reason on emissions
when old.state <> new.state or old.reason <> new.reason begin
  update tallies set events = events - 1
  where destination_id = old.destination_id and state = old.state and reason = old.reason;
  insert into tallies values (new.destination_id, new.state, new.reason, 1)
  on conflict do update set events = events + 1;
end;

-- One row per request that was answered, or not.
create table if not exists requests (
  request_id integer primary key,
  destination_id text not null,
  sent_at integer not null,
  seconds real not null,
  events integer not null,
  verdict text not null,
  http_status integer not null,
  code text not null,
  message text not null
) strict;
create index if not exists requests_by_time on requests (destination_id, sent_at);
create index if not exists requests_by_age on requests (sent_at);

-- One row per destination that must not be asked before a moment, and why.
create table if not exists pauses (
  destination_id text primary key,
  until_at integer not null,
  since_at integer not null,
  failures integer not null,
  verdict text not null,
  message text not null
) strict, without rowid;

-- One row per identifier that a browser's event bore: what was last seen with it. `browsers` counts
-- how often another fbp came with it: what many share tells nobody's.
create table if not exists sightings (
  account_id text not null,
  identifier text not null,
  event_time integer not null,
  log_slot integer not null,
  log_offset integer not null,
  event_name text not null,
  fbp text,
  facts text not null,
  consent text,
  consent_at integer,
  browsers integer not null default 1,
  primary key (account_id, identifier)
) strict, without rowid;
create index if not exists sightings_by_time on sightings (event_time);
create index if not exists sightings_by_place on sightings (log_slot, log_offset);
