-- Codes that are worth credit. Of a code's secret only the keyed hash is here.
CREATE TABLE codes (
    id BLOB PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    amount INTEGER NOT NULL,
    expires INTEGER,
    created INTEGER NOT NULL,
    -- Who redeemed it and when; none as long as nobody did.
    org BLOB REFERENCES organisations (id),
    redeemed INTEGER
);

-- Lists are read in the order in which things were made.
CREATE INDEX projects_by_age ON projects (org, created, id);
CREATE INDEX keys_by_age ON keys (org, created, id);

-- What a request was, step by step.
ALTER TABLE usage ADD COLUMN route TEXT;
ALTER TABLE usage ADD COLUMN queued_ms INTEGER;
