-- +goose Up
CREATE TABLE source_repo (
  id             TEXT   PRIMARY KEY,
  project        TEXT   NOT NULL,
  name           TEXT   NOT NULL,
  default_branch TEXT   NOT NULL,
  created        BIGINT NOT NULL,
  UNIQUE (project, name)
);
CREATE TABLE source_ref (
  repo      TEXT   NOT NULL REFERENCES source_repo (id),
  ref       TEXT   NOT NULL,
  object_id TEXT   NOT NULL,
  commit_id TEXT   NOT NULL,
  moved     BIGINT NOT NULL,
  PRIMARY KEY (repo, ref)
);
CREATE TABLE source_push (
  id    TEXT   PRIMARY KEY,
  repo  TEXT   NOT NULL REFERENCES source_repo (id),
  actor TEXT   NOT NULL,
  begun BIGINT NOT NULL,
  moves TEXT   NOT NULL
);
CREATE INDEX source_push_repo ON source_push (repo, id);
