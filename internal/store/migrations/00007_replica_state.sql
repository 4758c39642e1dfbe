-- state is what a replica tells the others of itself; the app that wrote it reads it.
-- +goose Up
ALTER TABLE replicas ADD COLUMN state TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE replicas DROP COLUMN state;
