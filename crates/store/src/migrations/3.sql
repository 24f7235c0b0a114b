-- How people show who they are, and for how long that holds. Of every secret only a hash is here.
CREATE TABLE passwords (
    person BLOB PRIMARY KEY REFERENCES users (id),
    -- In the PHC string format, hashed with the pepper.
    hash TEXT NOT NULL
);

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    person BLOB NOT NULL REFERENCES users (id),
    begun INTEGER NOT NULL,
    seen INTEGER NOT NULL
);
CREATE INDEX sessions_of_person ON sessions (person);

CREATE TABLE invites (
    id BLOB PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    hash BLOB NOT NULL UNIQUE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    -- Who accepted it; none as long as nobody did.
    person BLOB
);
CREATE INDEX invites_of_org ON invites (org, id);

-- The last one that was made for a person.
CREATE TABLE resets (
    person BLOB PRIMARY KEY REFERENCES users (id),
    hash BLOB NOT NULL UNIQUE,
    expires INTEGER NOT NULL
);

CREATE INDEX members_of_person ON members (person);
