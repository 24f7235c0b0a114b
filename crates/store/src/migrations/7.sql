-- Whose a key is; none for one that is its project's alone. Who is no more is named still by keys that ended with them.
ALTER TABLE keys ADD COLUMN owner BLOB;
CREATE INDEX keys_of_owner ON keys (owner) WHERE owner IS NOT NULL;

-- Where organisations want to be told of what. Of a secret only its number is here: it follows from that and the pepper.
CREATE TABLE webhooks (
    id BLOB PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    -- Names of events and percentages of budgets, divided by blanks.
    events TEXT NOT NULL,
    thresholds TEXT NOT NULL,
    credit_low INTEGER,
    enabled INTEGER NOT NULL,
    secret_version INTEGER NOT NULL,
    -- The secret before is used, too, until then.
    previous_until INTEGER,
    created INTEGER NOT NULL
);
CREATE INDEX webhooks_by_age ON webhooks (org, created, id);

-- Events on their way to webhooks, and what became of them.
CREATE TABLE deliveries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook BLOB NOT NULL REFERENCES webhooks (id),
    org BLOB NOT NULL,
    event BLOB NOT NULL,
    kind TEXT NOT NULL,
    -- What is sent: JSON.
    body TEXT NOT NULL,
    created INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    -- When it is tried next; none when it has ended.
    due INTEGER,
    error TEXT,
    ended INTEGER,
    UNIQUE (webhook, event)
);
CREATE INDEX deliveries_of_webhook ON deliveries (org, webhook, sequence);
CREATE INDEX deliveries_that_are_due ON deliveries (due, webhook, sequence) WHERE due IS NOT NULL;
CREATE INDEX deliveries_by_end ON deliveries (ended) WHERE ended IS NOT NULL;
