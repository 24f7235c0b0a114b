-- Ids are 16 bytes, hashes 32, times milliseconds since 1970, amounts billionths of the currency.

CREATE TABLE organisations (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    zone TEXT NOT NULL,
    billing TEXT NOT NULL,
    created INTEGER NOT NULL
);

CREATE TABLE projects (
    id BLOB PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (org, name)
);

CREATE TABLE users (
    id BLOB PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    operator INTEGER NOT NULL,
    created INTEGER NOT NULL
);

CREATE TABLE members (
    org BLOB NOT NULL REFERENCES organisations (id),
    person BLOB NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    PRIMARY KEY (org, person)
);

-- A secret is only ever here as its keyed hash. One table for all hashes, so that no two keys can share one.
CREATE TABLE keys (
    id BLOB PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    project BLOB NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    all_models INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER,
    created INTEGER NOT NULL,
    last_used INTEGER
);

CREATE TABLE secrets (
    hash BLOB PRIMARY KEY,
    key BLOB NOT NULL REFERENCES keys (id),
    -- The first moment at which it does not work; none for the current one.
    until INTEGER
);
CREATE INDEX secrets_of_key ON secrets (key);

CREATE TABLE key_models (
    key BLOB NOT NULL REFERENCES keys (id),
    model TEXT NOT NULL,
    PRIMARY KEY (key, model)
);

CREATE TABLE limits (
    org BLOB NOT NULL REFERENCES organisations (id),
    -- organisation, project or key
    owner_kind TEXT NOT NULL,
    owner BLOB NOT NULL,
    kind TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    PRIMARY KEY (org, owner_kind, owner, kind)
);

CREATE TABLE prices (
    id BLOB PRIMARY KEY,
    model TEXT NOT NULL,
    valid_from INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    batch_share INTEGER NOT NULL,
    -- Of two versions with one date the later one holds.
    sequence INTEGER NOT NULL UNIQUE
);

CREATE TABLE ledger (
    org BLOB NOT NULL REFERENCES organisations (id),
    number INTEGER NOT NULL,
    -- The canonical bytes: docs/ledger.md.
    line TEXT NOT NULL,
    hash BLOB NOT NULL,
    balance INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (org, number)
);
CREATE TRIGGER ledger_lines_stay BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is only ever added to');
END;
CREATE TRIGGER ledger_lines_are_kept BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is only ever added to');
END;

-- A payment credits once, whoever tells it.
CREATE TABLE credits (
    external_id TEXT PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    source TEXT NOT NULL,
    amount INTEGER NOT NULL,
    number INTEGER NOT NULL
);

-- One row for each admitted request: what it was, how it ended, what it cost.
CREATE TABLE usage (
    request BLOB PRIMARY KEY,
    org BLOB NOT NULL,
    project BLOB NOT NULL,
    key BLOB NOT NULL,
    model TEXT NOT NULL,
    admitted INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    first_output_ms INTEGER,
    cause TEXT NOT NULL,
    service TEXT NOT NULL,
    price BLOB,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    -- Number of its line in the ledger, where there was something to pay.
    line INTEGER,
    end_user TEXT
);
CREATE INDEX usage_of_org ON usage (org, admitted);

-- Sums of usage by quarter of an hour (UTC) of the admission, kept as rows arrive.
CREATE TABLE rollups (
    org BLOB NOT NULL,
    quarter INTEGER NOT NULL,
    project BLOB NOT NULL,
    key BLOB NOT NULL,
    model TEXT NOT NULL,
    rows INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    PRIMARY KEY (org, quarter, project, key, model)
) WITHOUT ROWID;

-- Requests that have a lease and have not ended. What is here at a start ended with the process before.
CREATE TABLE open_requests (
    request BLOB PRIMARY KEY,
    org BLOB NOT NULL,
    project BLOB NOT NULL,
    key BLOB NOT NULL,
    model TEXT NOT NULL,
    admitted INTEGER NOT NULL
);

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    -- None for what concerns the installation.
    org BLOB,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    before TEXT,
    after TEXT,
    address TEXT
);
CREATE INDEX audit_of_org ON audit (org, sequence);

CREATE TABLE idempotency (
    caller TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (caller, route, key)
);
CREATE INDEX idempotency_by_age ON idempotency (at);
