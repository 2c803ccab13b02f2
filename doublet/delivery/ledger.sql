-- One row per budget of an ad set in one period. `settled` units were billed, `held` are what leases may still bill.
create table if not exists budgets (
    adset_id text not null,
    period text not null,
    amount integer not null,
    begin_s real not null,
    end_s real not null,
    settled integer not null default 0,
    held integer not null default 0,
    primary key (adset_id, period)
) without rowid;

-- One row per lease that is not settled. `held` is what was granted while it is open, what was reserved once it is closed; `expected` is what it will probably bill.
create table if not exists leases (
    lease_id integer primary key autoincrement,
    adset_id text not null,
    period text not null,
    holder text not null,
    until_s real not null,
    is_open integer not null default 1,
    held integer not null,
    expected real not null default 0
);

create index if not exists leases_by_until on leases (until_s);

create index if not exists leases_by_budget on leases (adset_id, period);

-- One row per ad set whose bids are paced; `pace` is a JSON array of the fields of `doublet.delivery.pacing.Pace`.
create table if not exists paces (
    adset_id text primary key,
    pace text not null
) without rowid;

-- One row per ledger: when it was made (Unix seconds).
create table if not exists made (
    at_s real not null
);
