-- A call whose client chose no id has its record's, which is the primary key: only the others need an index of their own.
-- +goose Up
DROP INDEX records_request;
CREATE INDEX records_request ON records (request_id) WHERE request_id <> id;

-- +goose Down
DROP INDEX records_request;
CREATE INDEX records_request ON records (request_id);
