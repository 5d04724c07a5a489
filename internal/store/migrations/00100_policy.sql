-- +goose Up
CREATE TABLE policy_document (
  kind    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  raw     TEXT   NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  actor   TEXT   NOT NULL,
  ended   BIGINT NOT NULL,
  PRIMARY KEY (kind, name)
);
CREATE TABLE policy_seed (
  name TEXT   PRIMARY KEY,
  made BIGINT NOT NULL
);
CREATE TABLE policy_decision (
  id           TEXT   PRIMARY KEY,
  once         TEXT   NOT NULL UNIQUE,
  made         BIGINT NOT NULL,
  point        TEXT   NOT NULL,
  allowed      BIGINT NOT NULL,
  project      TEXT   NOT NULL,
  environment  TEXT   NOT NULL,
  run          BIGINT NOT NULL,
  commit_sha   TEXT   NOT NULL,
  pull         BIGINT NOT NULL,
  body         TEXT   NOT NULL
);
CREATE INDEX policy_decision_project ON policy_decision (project, id);
CREATE INDEX policy_decision_run ON policy_decision (run, id);
CREATE INDEX policy_decision_commit ON policy_decision (commit_sha, id);
