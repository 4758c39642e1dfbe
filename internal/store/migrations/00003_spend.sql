-- What was spent, booked in the transaction that stores the record it follows from.
-- +goose Up
-- total only grows. base is what total was when the running window began; reset_at is when it ends (0: never), period its length.
-- windows holds further windows as JSON: [{"duration","base","reset_at"}]. due is the earliest end of all of them.
-- moved is the id whose spend this is now: that of the key that a regenerated key became.
CREATE TABLE spend (
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    model    TEXT NOT NULL,
    total    BIGINT NOT NULL,
    base     BIGINT NOT NULL,
    reset_at BIGINT NOT NULL,
    period   TEXT NOT NULL,
    windows  TEXT NOT NULL,
    due      BIGINT NOT NULL,
    moved    TEXT NOT NULL,
    PRIMARY KEY (kind, id, model)
);
CREATE INDEX spend_due ON spend (due) WHERE due > 0;

-- Sums of the records of one UTC day that agree in every dimension. id is a hash of the dimensions. Rows with a tag repeat what rows
-- without one say, once for each tag of a record.
CREATE TABLE daily (
    id          TEXT PRIMARY KEY,
    date        TEXT NOT NULL,
    tag         TEXT NOT NULL,
    key_hash    TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    team_id     TEXT NOT NULL,
    org_id      TEXT NOT NULL,
    end_user    TEXT NOT NULL,
    model       TEXT NOT NULL,
    deployment  TEXT NOT NULL,
    provider    TEXT NOT NULL,
    upstream    TEXT NOT NULL,
    op          TEXT NOT NULL,
    dialect_in  TEXT NOT NULL,
    spend       BIGINT NOT NULL,
    input       BIGINT NOT NULL,
    output      BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    cache_read  BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    calls       BIGINT NOT NULL,
    failed      BIGINT NOT NULL,
    time_ms     BIGINT NOT NULL,
    timed       BIGINT NOT NULL
);
CREATE INDEX daily_date ON daily (tag, date);
CREATE INDEX daily_key ON daily (key_hash, date);
CREATE INDEX daily_user ON daily (user_id, date);
CREATE INDEX daily_team ON daily (team_id, date);

-- lost marks a record that stands for a call of a replica that never came back: its cost is an estimate, and the call's own record
-- replaces it should it come after all.
ALTER TABLE records ADD COLUMN lost BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX records_request ON records (request_id);
CREATE INDEX records_model ON records (model, started, id);
CREATE INDEX records_deployment ON records (deployment, started, id);
CREATE INDEX records_org ON records (org_id, started, id) WHERE org_id <> '';
CREATE INDEX records_end_user ON records (end_user, started, id) WHERE end_user <> '';
CREATE INDEX records_session ON records (session, started, id) WHERE session <> '';

-- +goose Down
DROP INDEX records_session;
DROP INDEX records_end_user;
DROP INDEX records_org;
DROP INDEX records_deployment;
DROP INDEX records_model;
DROP INDEX records_request;
ALTER TABLE records DROP COLUMN lost;
DROP TABLE daily;
DROP TABLE spend;
