-- Users' metrics, booked in the transaction that stores the record they follow from, so that no question has to read records.
-- +goose Up
ALTER TABLE records ADD COLUMN prompts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE records ADD COLUMN retrieved BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE records ADD COLUMN tools TEXT NOT NULL DEFAULT '[]';
ALTER TABLE records ADD COLUMN thread BIGINT NOT NULL DEFAULT 0;

-- groups is the newest list that was not empty, as JSON, and groups_at when it was so.
CREATE TABLE metrics_user (
    user_id    TEXT PRIMARY KEY,
    prompts    BIGINT NOT NULL,
    retrieved  BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    in_groups  TEXT NOT NULL,
    groups_at  BIGINT NOT NULL
);

CREATE TABLE metrics_day (
    user_id    TEXT NOT NULL,
    date       TEXT NOT NULL,
    model      TEXT NOT NULL,
    prompts    BIGINT NOT NULL,
    retrieved  BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    input      BIGINT NOT NULL,
    output     BIGINT NOT NULL,
    spend      BIGINT NOT NULL,
    PRIMARY KEY (user_id, date, model)
);
CREATE INDEX metrics_day_date ON metrics_day (date);

CREATE TABLE metrics_session (
    user_id    TEXT NOT NULL,
    session    TEXT NOT NULL,
    prompts    BIGINT NOT NULL,
    retrieved  BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    calls      BIGINT NOT NULL,
    input      BIGINT NOT NULL,
    output     BIGINT NOT NULL,
    spend      BIGINT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen  BIGINT NOT NULL,
    PRIMARY KEY (user_id, session)
);
CREATE INDEX metrics_session_seen ON metrics_session (user_id, last_seen, session);

-- scope is all (name empty), day (name is the date) or session (name is its id).
CREATE TABLE metrics_tool (
    user_id TEXT NOT NULL,
    scope   TEXT NOT NULL,
    name    TEXT NOT NULL,
    tool    TEXT NOT NULL,
    calls   BIGINT NOT NULL,
    PRIMARY KEY (user_id, scope, name, tool)
);
CREATE INDEX metrics_tool_scope ON metrics_tool (scope, name, tool);

-- +goose Down
DROP TABLE metrics_tool;
DROP TABLE metrics_session;
DROP TABLE metrics_day;
DROP TABLE metrics_user;
ALTER TABLE records DROP COLUMN thread;
ALTER TABLE records DROP COLUMN tools;
ALTER TABLE records DROP COLUMN retrieved;
ALTER TABLE records DROP COLUMN prompts;
