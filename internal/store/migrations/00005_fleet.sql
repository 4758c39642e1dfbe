-- +goose Up
CREATE TABLE fleet_models (
    id      TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    doc     TEXT NOT NULL
);

CREATE TABLE fleet_events (
    model_id   TEXT NOT NULL,
    seq        BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    was        TEXT NOT NULL,
    became     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (model_id, seq)
);

-- +goose Down
DROP TABLE fleet_events;
DROP TABLE fleet_models;
