-- +goose Up
-- What Cache@2 keeps between runs (K027). scope is the ref that wrote it: who may read it is
-- decided by the ref of a run. Nothing that is here is ever changed but used.
CREATE TABLE pipeline_cache (
  id      TEXT   PRIMARY KEY,
  repo    TEXT   NOT NULL,
  file    TEXT   NOT NULL,
  scope   TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  digest  TEXT   NOT NULL,
  bytes   BIGINT NOT NULL,
  run     BIGINT NOT NULL,
  created BIGINT NOT NULL,
  used    BIGINT NOT NULL,
  UNIQUE (repo, file, scope, name)
);
CREATE INDEX pipeline_cache_used ON pipeline_cache (repo, used);
-- Variables of a pipeline that do not stand in its file (J010); settable is 1 for those that
-- who starts a run may give another value.
CREATE TABLE pipeline_variable (
  repo     TEXT   NOT NULL,
  folded   TEXT   NOT NULL,
  name     TEXT   NOT NULL,
  value    TEXT   NOT NULL,
  settable BIGINT NOT NULL,
  actor    TEXT   NOT NULL,
  changed  BIGINT NOT NULL,
  PRIMARY KEY (repo, folded)
);
-- What a person gave a run beside its parameters, as JSON.
ALTER TABLE pipeline_run ADD COLUMN given TEXT NOT NULL DEFAULT '';
