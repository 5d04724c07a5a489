-- +goose Up
-- A finished job is deleted; a job that was given up stays with failed = 1.
-- dedup is kind and key of an unfinished job that has a key, else the id.
CREATE TABLE job (
  id          TEXT   PRIMARY KEY,
  kind        TEXT   NOT NULL,
  dedup       TEXT   NOT NULL UNIQUE,
  payload     TEXT   NOT NULL,
  created     BIGINT NOT NULL,
  run_at      BIGINT NOT NULL,
  attempts    BIGINT NOT NULL,
  owner       TEXT   NOT NULL,
  lease_until BIGINT NOT NULL,
  again       BIGINT NOT NULL,
  failed      BIGINT NOT NULL,
  error       TEXT   NOT NULL
);
CREATE INDEX job_due ON job (kind, failed, run_at);
