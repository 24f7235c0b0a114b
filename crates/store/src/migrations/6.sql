-- Accounts at OpenID providers by which people sign in here. Issuer and subject are who somebody is there, for ever.
CREATE TABLE identities (
    id BLOB PRIMARY KEY,
    person BLOB NOT NULL REFERENCES users (id),
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    -- Whether the provider had made sure of the person's address when this was linked.
    verified INTEGER NOT NULL,
    created INTEGER NOT NULL,
    UNIQUE (issuer, subject)
);
CREATE INDEX identities_of_person ON identities (person, id);

-- Sign-ins with a provider that were used, as long as they could be sent again.
CREATE TABLE used_sign_ins (
    hash BLOB PRIMARY KEY,
    expires INTEGER NOT NULL
);
CREATE INDEX used_sign_ins_by_expiry ON used_sign_ins (expires);
