-- Whose a key is; none for one that is its project's alone. Who is no more is named still by keys that ended with them.
ALTER TABLE keys ADD COLUMN owner BLOB;
CREATE INDEX keys_of_owner ON keys (owner) WHERE owner IS NOT NULL;
