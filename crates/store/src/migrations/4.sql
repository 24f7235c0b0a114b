-- Responses that are kept for whoever asked for them. This is the one table that holds what was said: keeping it is what the
-- caller asked for.
CREATE TABLE responses (
    id BLOB PRIMARY KEY,
    org BLOB NOT NULL REFERENCES organisations (id),
    project BLOB NOT NULL REFERENCES projects (id),
    -- The response that it continues, which may be gone by now.
    previous BLOB,
    created INTEGER NOT NULL,
    -- The first moment at which it is not there any more.
    expires INTEGER NOT NULL,
    -- Whether it is still being made, in the background.
    running INTEGER NOT NULL,
    input TEXT NOT NULL,
    response TEXT NOT NULL
);
CREATE INDEX responses_by_expiry ON responses (expires);
CREATE INDEX responses_that_run ON responses (running) WHERE running;
