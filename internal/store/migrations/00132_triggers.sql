-- +goose Up
CREATE TABLE pipeline_schedule (
  repo     TEXT   NOT NULL,
  ref      TEXT   NOT NULL,
  position BIGINT NOT NULL,
  project  TEXT   NOT NULL,
  cron     TEXT   NOT NULL,
  title    TEXT   NOT NULL,
  always   BIGINT NOT NULL,
  batch    BIGINT NOT NULL,
  due      BIGINT NOT NULL,
  PRIMARY KEY (repo, ref, position)
);
CREATE INDEX pipeline_schedule_due ON pipeline_schedule (due);
CREATE TABLE pipeline_batch (
  repo  TEXT NOT NULL,
  ref   TEXT NOT NULL,
  push  TEXT NOT NULL,
  PRIMARY KEY (repo, ref)
);
