-- +goose Up
-- Jobs that the server runs itself ("pool: server") and how far they are, as JSON; wake is
-- when to look again. The row goes when the job has ended.
CREATE TABLE pipeline_server_job (
  job  TEXT   PRIMARY KEY,
  wake BIGINT NOT NULL,
  body TEXT   NOT NULL
);
