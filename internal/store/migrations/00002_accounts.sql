-- Accounts: a table per noun. id and what is looked up are columns; doc is the whole account as JSON and is the truth.
-- +goose Up
-- n counts the edits of accounts. An edit updates the row first, so edits of all replicas run one after another.
-- trimmed is the newest edit whose changes are no longer listed.
CREATE TABLE revision (
    one     BIGINT PRIMARY KEY,
    n       BIGINT NOT NULL,
    trimmed BIGINT NOT NULL
);
INSERT INTO revision (one, n, trimmed) VALUES (1, 0, 0);

CREATE TABLE changes (
    revision BIGINT NOT NULL,
    kind     TEXT NOT NULL,
    id       TEXT NOT NULL,
    PRIMARY KEY (revision, kind, id)
);

CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    alias      TEXT NOT NULL,
    name       TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    team_id    TEXT NOT NULL,
    org_id     TEXT NOT NULL,
    budget_id  TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires    BIGINT NOT NULL,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);
CREATE INDEX keys_alias ON keys (alias);
CREATE INDEX keys_user ON keys (user_id);
CREATE INDEX keys_team ON keys (team_id);
CREATE INDEX keys_org ON keys (org_id);
CREATE INDEX keys_budget ON keys (budget_id);
CREATE INDEX keys_created ON keys (created, id);

CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    email      TEXT NOT NULL,
    alias      TEXT NOT NULL,
    sso_id     TEXT NOT NULL,
    role       TEXT NOT NULL,
    budget_id  TEXT NOT NULL,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);
CREATE INDEX users_email ON users (email);
CREATE INDEX users_sso ON users (sso_id);
CREATE INDEX users_budget ON users (budget_id);
CREATE INDEX users_created ON users (created, id);

CREATE TABLE teams (
    id               TEXT PRIMARY KEY,
    alias            TEXT NOT NULL,
    org_id           TEXT NOT NULL,
    budget_id        TEXT NOT NULL,
    member_budget_id TEXT NOT NULL,
    max_budget       BIGINT NOT NULL,
    created          BIGINT NOT NULL,
    updated          BIGINT NOT NULL,
    doc              TEXT NOT NULL
);
CREATE INDEX teams_alias ON teams (alias);
CREATE INDEX teams_org ON teams (org_id);
CREATE INDEX teams_created ON teams (created, id);

CREATE TABLE members (
    id        TEXT PRIMARY KEY,
    team_id   TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    role      TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    created   BIGINT NOT NULL,
    updated   BIGINT NOT NULL,
    doc       TEXT NOT NULL
);
CREATE INDEX members_team ON members (team_id);
CREATE INDEX members_user ON members (user_id);
CREATE INDEX members_budget ON members (budget_id);

CREATE TABLE orgs (
    id         TEXT PRIMARY KEY,
    alias      TEXT NOT NULL,
    budget_id  TEXT NOT NULL,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE TABLE org_members (
    id        TEXT PRIMARY KEY,
    org_id    TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    role      TEXT NOT NULL,
    budget_id TEXT NOT NULL,
    created   BIGINT NOT NULL,
    updated   BIGINT NOT NULL,
    doc       TEXT NOT NULL
);
CREATE INDEX org_members_org ON org_members (org_id);
CREATE INDEX org_members_user ON org_members (user_id);

CREATE TABLE budgets (
    id         TEXT PRIMARY KEY,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE TABLE customers (
    id         TEXT PRIMARY KEY,
    alias      TEXT NOT NULL,
    budget_id  TEXT NOT NULL,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);
CREATE INDEX customers_budget ON customers (budget_id);

CREATE TABLE tags (
    id         TEXT PRIMARY KEY,
    budget_id  TEXT NOT NULL,
    max_budget BIGINT NOT NULL,
    created    BIGINT NOT NULL,
    updated    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);

CREATE TABLE models (
    id      TEXT PRIMARY KEY,
    name    TEXT NOT NULL,
    team_id TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    doc     TEXT NOT NULL
);
CREATE INDEX models_name ON models (name);

CREATE TABLE credentials (
    id      TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    doc     TEXT NOT NULL
);

CREATE TABLE access_groups (
    id      TEXT PRIMARY KEY,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    doc     TEXT NOT NULL
);

CREATE TABLE audits (
    id         TEXT PRIMARY KEY,
    changed_by TEXT NOT NULL,
    by_key     TEXT NOT NULL,
    action     TEXT NOT NULL,
    table_name TEXT NOT NULL,
    object_id  TEXT NOT NULL,
    created    BIGINT NOT NULL,
    doc        TEXT NOT NULL
);
CREATE INDEX audits_created ON audits (created, id);
CREATE INDEX audits_object ON audits (object_id, created);
CREATE INDEX audits_by ON audits (changed_by, created);

-- What was deleted, so that what it spent keeps its name.
CREATE TABLE archive (
    id        TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    object_id TEXT NOT NULL,
    alias     TEXT NOT NULL,
    user_id   TEXT NOT NULL,
    team_id   TEXT NOT NULL,
    org_id    TEXT NOT NULL,
    created   BIGINT NOT NULL,
    doc       TEXT NOT NULL
);
CREATE INDEX archive_object ON archive (kind, object_id);
CREATE INDEX archive_user ON archive (kind, user_id);
CREATE INDEX archive_team ON archive (kind, team_id);
CREATE INDEX archive_created ON archive (kind, created, id);

-- +goose Down
DROP TABLE archive;
DROP TABLE audits;
DROP TABLE access_groups;
DROP TABLE credentials;
DROP TABLE models;
DROP TABLE tags;
DROP TABLE customers;
DROP TABLE budgets;
DROP TABLE org_members;
DROP TABLE orgs;
DROP TABLE members;
DROP TABLE teams;
DROP TABLE users;
DROP TABLE keys;
DROP TABLE changes;
DROP TABLE revision;
