-- One text for SQLite and PostgreSQL: ids TEXT, times BIGINT milliseconds UTC, money BIGINT nano-USD, lists as JSON in TEXT.
-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE journal_position (
    journal TEXT PRIMARY KEY,
    segment BIGINT NOT NULL,
    position BIGINT NOT NULL
);

CREATE TABLE records (
    id               TEXT PRIMARY KEY,
    request_id       TEXT NOT NULL,
    started          BIGINT NOT NULL,
    first_byte       BIGINT NOT NULL,
    ended            BIGINT NOT NULL,
    key_hash         TEXT NOT NULL,
    key_alias        TEXT NOT NULL,
    user_id          TEXT NOT NULL,
    team_id          TEXT NOT NULL,
    org_id           TEXT NOT NULL,
    end_user         TEXT NOT NULL,
    model            TEXT NOT NULL,
    deployment       TEXT NOT NULL,
    provider         TEXT NOT NULL,
    upstream         TEXT NOT NULL,
    api_base         TEXT NOT NULL,
    dialect_in       TEXT NOT NULL,
    dialect_out      TEXT NOT NULL,
    op               TEXT NOT NULL,
    stream           BOOLEAN NOT NULL,
    status           BIGINT NOT NULL,
    error_kind       TEXT NOT NULL,
    incomplete       BOOLEAN NOT NULL,
    client_gone      BOOLEAN NOT NULL,
    attempts         BIGINT NOT NULL,
    input            BIGINT NOT NULL,
    output           BIGINT NOT NULL,
    total            BIGINT NOT NULL,
    cache_read       BIGINT NOT NULL,
    cache_write      BIGINT NOT NULL,
    cache_write_1h   BIGINT NOT NULL,
    reasoning        BIGINT NOT NULL,
    input_audio      BIGINT NOT NULL,
    output_audio     BIGINT NOT NULL,
    input_image      BIGINT NOT NULL,
    output_image     BIGINT NOT NULL,
    tool_input       BIGINT NOT NULL,
    web_searches     BIGINT NOT NULL,
    accepted         BIGINT NOT NULL,
    rejected         BIGINT NOT NULL,
    estimated        BOOLEAN NOT NULL,
    reasoning_known  BOOLEAN NOT NULL,
    cache_known      BOOLEAN NOT NULL,
    cost             BIGINT NOT NULL,
    priced           BOOLEAN NOT NULL,
    session          TEXT NOT NULL,
    tags             TEXT NOT NULL,
    dropped          TEXT NOT NULL
);

CREATE INDEX records_started ON records (started, id);
CREATE INDEX records_key ON records (key_hash, started, id);
CREATE INDEX records_user ON records (user_id, started, id);
CREATE INDEX records_team ON records (team_id, started, id);

-- +goose Down
DROP TABLE records;
DROP TABLE journal_position;
DROP TABLE meta;
