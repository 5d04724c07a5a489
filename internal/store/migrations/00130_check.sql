-- +goose Up
CREATE TABLE pipeline_check (
  id       TEXT   PRIMARY KEY,
  project  TEXT   NOT NULL,
  resource TEXT   NOT NULL,
  type     TEXT   NOT NULL,
  body     TEXT   NOT NULL,
  changed  BIGINT NOT NULL
);
CREATE INDEX pipeline_check_resource ON pipeline_check (resource);
CREATE INDEX pipeline_check_project ON pipeline_check (project);
CREATE TABLE pipeline_permission (
  resource TEXT   NOT NULL,
  pipeline TEXT   NOT NULL,
  project  TEXT   NOT NULL,
  name     TEXT   NOT NULL,
  kind     TEXT   NOT NULL,
  actor    TEXT   NOT NULL,
  given    BIGINT NOT NULL,
  PRIMARY KEY (resource, pipeline)
);
CREATE TABLE pipeline_entry (
  id       TEXT   PRIMARY KEY,
  run      BIGINT NOT NULL REFERENCES pipeline_run (number),
  stage    TEXT   NOT NULL,
  attempt  BIGINT NOT NULL,
  project  TEXT   NOT NULL,
  resource TEXT   NOT NULL,
  type     TEXT   NOT NULL,
  status   TEXT   NOT NULL,
  body     TEXT   NOT NULL
);
CREATE INDEX pipeline_entry_stage ON pipeline_entry (run, stage, attempt);
CREATE INDEX pipeline_entry_status ON pipeline_entry (status, project);
CREATE INDEX pipeline_entry_resource ON pipeline_entry (resource, status);
CREATE TABLE pipeline_lock (
  resource TEXT   PRIMARY KEY,
  run      BIGINT NOT NULL,
  stage    TEXT   NOT NULL,
  taken    BIGINT NOT NULL
);
CREATE INDEX pipeline_lock_run ON pipeline_lock (run, stage);
ALTER TABLE pipeline_stage ADD COLUMN gate TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_stage ADD COLUMN attempt BIGINT NOT NULL DEFAULT 1;
ALTER TABLE pipeline_stage ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_stage ADD COLUMN wake BIGINT NOT NULL DEFAULT 0;
CREATE INDEX pipeline_stage_gate ON pipeline_stage (gate, wake);
