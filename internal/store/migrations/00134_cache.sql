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
