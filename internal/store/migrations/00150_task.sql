-- +goose Up
-- Tasks that were added beside those that are built in (K005). project is '' for those of
-- the whole installation. A row never changes.
CREATE TABLE pipeline_task (
  id        TEXT   PRIMARY KEY,
  project   TEXT   NOT NULL,
  guid      TEXT   NOT NULL,
  folded    TEXT   NOT NULL,
  major     BIGINT NOT NULL,
  minor     BIGINT NOT NULL,
  patch     BIGINT NOT NULL,
  digest    TEXT   NOT NULL,
  bytes     BIGINT NOT NULL,
  files     BIGINT NOT NULL,
  extension TEXT   NOT NULL,
  manifest  TEXT   NOT NULL,
  actor     TEXT   NOT NULL,
  added     BIGINT NOT NULL,
  UNIQUE (project, guid, major, minor, patch)
);
