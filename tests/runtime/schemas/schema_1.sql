pragma application_id = 1718382455;
pragma user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE cells (
    app text not null,
    name text not null,
    version integer not null,
    value blob,
    expires_at integer,
    primary key (app, name)
) strict, without rowid;
INSERT INTO "cells" VALUES('shop','c1',2,X'7B226E223A317D',NULL);
CREATE TABLE digests (
    number integer primary key,
    app text not null,
    workflow text not null,
    digest text not null,
    unique (app, workflow, digest)
) strict;
INSERT INTO "digests" VALUES(1,'shop','fulfil','code-1');
CREATE TABLE event_values (
    event text not null,
    path text not null,
    value text not null,
    position integer not null,
    primary key (event, path, value, position)
) strict, without rowid;
INSERT INTO "event_values" VALUES('paid','data.order','7',1);
CREATE TABLE events (
    number integer primary key,
    id text not null unique,
    position integer,
    name text not null,
    ts integer not null,
    accepted_at integer not null,
    user_key text,
    digest text not null,
    routed integer not null,
    checksum integer not null,
    data blob not null
) strict;
INSERT INTO "events" VALUES(1,'e1',1,'paid',1700000000000000,1700000000000000,NULL,'',1,3396411078,X'7B226F72646572223A377D');
INSERT INTO "events" VALUES(2,'e2',NULL,'paid',1700000005000000,1700000000000000,NULL,'',0,3867682403,X'7B7D');
CREATE TABLE history (
    number integer primary key,
    run integer not null,
    position integer not null,
    fence integer not null,
    checksum integer not null,
    body blob not null
) strict;
INSERT INTO "history" VALUES(1,2,0,1,1422787526,X'7B2274797065223A2273746172746564222C226174223A313730303030303030303030303030302C22646967657374223A22636F64652D31227D');
INSERT INTO "history" VALUES(2,2,1,1,76532019,X'7B2274797065223A22737563636565646564222C226174223A313730303030303030303030303030302C2273746570223A22636861726765222C2276616C7565223A312C226B696E64223A2272756E222C22617267756D656E7473223A6E756C6C2C22646967657374223A2264227D');
INSERT INTO "history" VALUES(3,3,0,1,3805668278,X'7B2274797065223A2273746172746564222C226174223A313730303030303030303030303030302C22646967657374223A22636F64652D31227D');
INSERT INTO "history" VALUES(4,3,1,1,1201153906,X'7B2274797065223A22737563636565646564222C226174223A313730303030303030303030303030302C2273746570223A22636861726765222C2276616C7565223A312C226B696E64223A2272756E222C22617267756D656E7473223A6E756C6C2C22646967657374223A2264227D');
INSERT INTO "history" VALUES(5,6,0,1,3778185413,X'7B2274797065223A2273746172746564222C226174223A313730303030303030303030303030302C22646967657374223A22636F64652D31227D');
INSERT INTO "history" VALUES(6,7,0,1,1462331573,X'7B2274797065223A2273746172746564222C226174223A313730303030303030303030303030302C22646967657374223A22636F64652D31227D');
INSERT INTO "history" VALUES(7,7,1,1,3534345408,X'7B2274797065223A22656E645F636F6D706C65746564222C226174223A313730303030303030303030303030302C22726573756C74223A2266696E65227D');
CREATE TABLE in_force (
    app text not null,
    workflow text not null,
    digest text not null,
    definition blob not null,
    primary key (app, workflow)
) strict, without rowid;
INSERT INTO "in_force" VALUES('shop','fulfil','code-1',X'7B7D');
CREATE TABLE inputs (
    run integer primary key,
    transition text not null,
    checksum integer not null,
    body blob not null
) strict;
INSERT INTO "inputs" VALUES(1,'e1',3333664565,X'5B7B226964223A226531222C226E616D65223A2270616964222C2264617461223A7B226F72646572223A377D2C227473223A313730303030303030303030303030302C2261636365707465645F6174223A313730303030303030303030303030302C22706F736974696F6E223A317D5D');
INSERT INTO "inputs" VALUES(2,'create shop/asleep',3175235478,X'5B5D');
INSERT INTO "inputs" VALUES(3,'create shop/owned',1981738035,X'5B5D');
INSERT INTO "inputs" VALUES(4,'create shop/told',1796988043,X'5B5D');
INSERT INTO "inputs" VALUES(5,'create shop/cancelled',2689011502,X'5B5D');
INSERT INTO "inputs" VALUES(6,'create shop/parked',651394432,X'5B5D');
INSERT INTO "inputs" VALUES(7,'create shop/ended',3985616421,X'5B5D');
CREATE TABLE keys (
    app text not null,
    name text not null,
    holder text not null,
    detail text not null,
    expires_at integer,
    version integer not null,
    primary key (app, name)
) strict, without rowid;
INSERT INTO "keys" VALUES('shop','k1','h1','',NULL,1);
CREATE TABLE mail (
    run integer not null,
    number integer not null,
    id text not null,
    checksum integer not null,
    body blob not null,
    primary key (run, number)
) strict, without rowid;
INSERT INTO "mail" VALUES(4,1,'m1',2370552630,X'7B226964223A226D31222C22617070223A2273686F70222C2272756E223A22746F6C64222C22626F6479223A7B2274797065223A226368696C645F636F6D706C65746564222C226368696C64223A226D31222C2273746570223A22696E766F6B65222C22726573756C74223A6E756C6C7D7D');
INSERT INTO "mail" VALUES(5,1,'c1',1472628039,X'7B226964223A226331222C22617070223A2273686F70222C2272756E223A2263616E63656C6C6564222C22626F6479223A7B2274797065223A2263616E63656C222C22726561736F6E223A22656E6F756768227D2C226D7573745F62655F6F70656E223A747275657D');
CREATE TABLE match_paths (
    event text not null,
    path text not null,
    since integer not null,
    primary key (event, path)
) strict, without rowid;
INSERT INTO "match_paths" VALUES('paid','data.order',0);
CREATE TABLE offers (
    app text not null,
    worker text not null,
    workflow text not null,
    digest text not null,
    definition blob not null,
    registered integer not null,
    primary key (app, worker, workflow)
) strict, without rowid;
INSERT INTO "offers" VALUES('shop','w1','fulfil','code-1',X'7B7D',1);
CREATE TABLE runs (
    key integer primary key,
    app text not null,
    id text not null,
    workflow text not null,
    created_at integer not null,
    seed integer not null,
    stored text not null,
    reason text,
    start_at integer,
    due_at integer,
    started_at integer,
    ended_at integer,
    owner text,
    fence integer not null,
    length integer not null,
    mail integer not null,
    drained integer not null,
    cancel integer not null,
    strikes integer not null,
    life integer not null,
    digest text,
    parent_app text,
    parent_run text,
    parent_step text,
    parent_child text,
    restarted_as text,
    since text,
    claimed_at integer not null,
    cancel_at integer,
    codeless_at integer,
    looks_from integer
) strict;
INSERT INTO "runs" VALUES(1,'shop','due','fulfil',1700000000000000,7,'open',NULL,NULL,1700000000000000,NULL,NULL,NULL,0,0,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,NULL,1);
INSERT INTO "runs" VALUES(2,'shop','asleep','fulfil',1700000000000000,7,'open',NULL,NULL,1700000003000000,NULL,NULL,NULL,1,2,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,NULL,NULL);
INSERT INTO "runs" VALUES(3,'shop','owned','fulfil',1700000000000000,7,'open',NULL,NULL,1700000010000000,NULL,NULL,'w1',1,2,0,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,NULL,NULL);
INSERT INTO "runs" VALUES(4,'shop','told','fulfil',1700000000000000,7,'open',NULL,NULL,1700000000000000,NULL,NULL,NULL,0,0,1,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,NULL,NULL);
INSERT INTO "runs" VALUES(5,'shop','cancelled','gone',1700000000000000,7,'open',NULL,NULL,1700000000000000,NULL,NULL,NULL,0,0,1,0,1,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,1700000060000000,NULL);
INSERT INTO "runs" VALUES(6,'shop','parked','fulfil',1700000000000000,7,'parked',NULL,NULL,1700000000000000,NULL,NULL,NULL,1,1,0,0,0,0,0,'code-0',NULL,NULL,NULL,NULL,NULL,NULL,1700000000000000,1700000000000000,NULL,NULL);
INSERT INTO "runs" VALUES(7,'shop','ended','fulfil',1700000000000000,7,'completed',NULL,NULL,NULL,NULL,1700000000000000,NULL,1,2,0,0,0,0,0,NULL,'shop','asleep','child','c1',NULL,NULL,1700000000000000,1700000000000000,NULL,NULL);
CREATE TABLE started (
    event text not null,
    app text not null,
    run text not null,
    primary key (event, app, run)
) strict, without rowid;
INSERT INTO "started" VALUES('e1','shop','due');
CREATE TABLE store (
    one integer primary key check (one = 1),
    high_water integer not null,
    last_position integer not null,
    last_version integer not null,
    generation integer not null
) strict;
INSERT INTO "store" VALUES(1,1700000000000000,1,2,1);
CREATE TABLE waits (
    key integer not null,
    app text not null,
    run text not null,
    id text not null,
    step text not null,
    event text not null,
    after integer not null,
    expires_at integer not null,
    path text,
    value text,
    condition text,
    scope blob,
    looked_to integer
) strict;
INSERT INTO "waits" VALUES(2,'shop','asleep','wait-1','wait for it','paid',0,1700000060000000,'data.order','7',NULL,NULL,NULL);
CREATE TABLE workers (
    id text primary key,
    seen_at integer not null,
    suspect integer
) strict, without rowid;
INSERT INTO "workers" VALUES('w1',1700000000000000,NULL);
CREATE UNIQUE INDEX runs_by_id on runs (id, app);
CREATE INDEX runs_due on runs (app, workflow, due_at, id) where stored = 'open' and due_at is not null;
CREATE INDEX runs_parked on runs (app, workflow, digest, due_at, id) where stored = 'parked';
CREATE INDEX runs_codeless on runs (codeless_at, app, id) where codeless_at is not null;
CREATE INDEX runs_children on runs (parent_app, parent_run, app, id) where parent_run is not null;
CREATE INDEX runs_by_status on runs (stored, created_at, app, id);
CREATE INDEX runs_by_workflow on runs (app, workflow, stored, created_at, id);
CREATE INDEX runs_ended on runs (ended_at, app, id) where ended_at is not null;
CREATE INDEX runs_looking on runs (looks_from) where stored in ('open', 'parked');
CREATE UNIQUE INDEX history_of_run on history (run, position);
CREATE UNIQUE INDEX mail_by_id on mail (run, id);
CREATE UNIQUE INDEX events_by_position on events (position, accepted_at) where position is not null;
CREATE INDEX events_by_name on events (name, position) where position is not null;
CREATE INDEX events_as_accepted on events (name);
CREATE INDEX events_unrouted on events (position) where routed = 0 and position is not null;
CREATE INDEX events_future on events (ts, number) where position is null;
CREATE UNIQUE INDEX waits_of_run on waits (key, id);
CREATE INDEX waits_matching on waits (event, path, value, app, run, id);
CREATE INDEX keys_expiring on keys (expires_at) where expires_at is not null;
CREATE INDEX cells_expiring on cells (expires_at) where expires_at is not null;
COMMIT;
