-- What callers say of requests beside the end user: tags, as a JSON object.
ALTER TABLE usage ADD COLUMN tags TEXT;
CREATE INDEX usage_of_end_user ON usage (org, end_user) WHERE end_user IS NOT NULL;

-- Sums of usage by day of the organisation's calendar, which never changes its time zone; a day is named by its first moment.
CREATE TABLE days (
    org BLOB NOT NULL,
    day INTEGER NOT NULL,
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
    PRIMARY KEY (org, day, project, key, model)
) WITHOUT ROWID;

-- Tags of a day, and how many values each had. The tag without a name is the end user.
CREATE TABLE label_names (
    org BLOB NOT NULL,
    day INTEGER NOT NULL,
    tag TEXT NOT NULL,
    distinct_values INTEGER NOT NULL,
    PRIMARY KEY (org, day, tag)
) WITHOUT ROWID;

-- Values that tags had on a day. Without a value it stands for all beyond the bound, and for those that were erased.
CREATE TABLE labels (
    id INTEGER PRIMARY KEY,
    org BLOB NOT NULL,
    tag TEXT NOT NULL,
    day INTEGER NOT NULL,
    value TEXT,
    UNIQUE (org, tag, value, day)
);
CREATE INDEX labels_by_day ON labels (org, tag, day);

-- Sums over the requests with a label: of its day, and by quarter of an hour.
CREATE TABLE label_days (
    label INTEGER NOT NULL REFERENCES labels (id),
    project BLOB NOT NULL,
    model TEXT NOT NULL,
    rows INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    PRIMARY KEY (label, project, model)
) WITHOUT ROWID;

CREATE TABLE label_quarters (
    label INTEGER NOT NULL REFERENCES labels (id),
    quarter INTEGER NOT NULL,
    project BLOB NOT NULL,
    model TEXT NOT NULL,
    rows INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cached_input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    seconds INTEGER NOT NULL,
    images INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    PRIMARY KEY (label, quarter, project, model)
) WITHOUT ROWID;

-- Statements begin and end at moments.
CREATE INDEX ledger_by_time ON ledger (org, at, number);

-- Which lines of the ledger correct which: what a charge comes to is found without reading the chain to its end.
CREATE TABLE corrections (
    org BLOB NOT NULL,
    corrects INTEGER NOT NULL,
    number INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    -- 1 for an amount that was agreed and not computed from a price.
    agreed INTEGER NOT NULL,
    PRIMARY KEY (org, corrects, number)
) WITHOUT ROWID;
INSERT INTO corrections (org, corrects, number, amount, agreed)
    SELECT org, CAST(substr(line, instr(line, ' correction corrects=') + 21) AS INTEGER), number,
           CAST(substr(line, instr(line, ' amount=') + 8) AS INTEGER), line NOT LIKE '% price=price!_%' ESCAPE '!'
    FROM ledger WHERE line LIKE '% correction corrects=%';

-- For how many days request rows are kept; who has no row keeps them. The organisation without an id is the installation.
CREATE TABLE retention (
    org BLOB PRIMARY KEY,
    days INTEGER NOT NULL
);
