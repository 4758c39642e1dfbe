-- Who runs, and what calls they have open, so that a replica that never comes back leaves nothing unpaid.
-- +goose Up
CREATE TABLE replicas (
    id      TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    journal TEXT NOT NULL,
    seen    BIGINT NOT NULL
);

-- doc is the record that the call would leave as it stands, with what is reserved for it as its cost.
CREATE TABLE open_calls (
    id      TEXT PRIMARY KEY,
    replica TEXT NOT NULL,
    at      BIGINT NOT NULL,
    doc     TEXT NOT NULL
);
CREATE INDEX open_calls_replica ON open_calls (replica);

CREATE TABLE leases (
    name   TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    ends   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE leases;
DROP TABLE open_calls;
DROP TABLE replicas;
