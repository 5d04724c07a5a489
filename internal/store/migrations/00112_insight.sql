-- +goose Up
-- A group of errors of a project ('' is the platform). Times are milliseconds of the Unix
-- epoch. resolved is when somebody said that it is mended, 0 while nobody did.
CREATE TABLE insight_group (
  project       TEXT   NOT NULL,
  fingerprint   TEXT   NOT NULL,
  role          TEXT   NOT NULL,
  type          TEXT   NOT NULL,
  message       TEXT   NOT NULL,
  operation     TEXT   NOT NULL,
  environment   TEXT   NOT NULL,
  first_seen    BIGINT NOT NULL,
  last_seen     BIGINT NOT NULL,
  first_release TEXT   NOT NULL,
  last_release  TEXT   NOT NULL,
  occurrences   BIGINT NOT NULL,
  state         TEXT   NOT NULL,
  actor         TEXT   NOT NULL,
  resolved      BIGINT NOT NULL,
  PRIMARY KEY (project, fingerprint)
);
CREATE INDEX insight_group_seen ON insight_group (project, last_seen);
CREATE INDEX insight_group_first ON insight_group (project, first_release);
-- Up to where something was read: a moment in ticks of 100 ns since the year 1.
CREATE TABLE insight_cursor (
  name TEXT   PRIMARY KEY,
  at   BIGINT NOT NULL
);
-- A release beside the one before it. document is the comparison as JSON; a verdict
-- that is final is not looked at again.
CREATE TABLE insight_comparison (
  release     TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  baseline    TEXT   NOT NULL,
  started     BIGINT NOT NULL,
  verdict     TEXT   NOT NULL,
  final       BIGINT NOT NULL,
  compared    BIGINT NOT NULL,
  document    TEXT   NOT NULL
);
CREATE INDEX insight_comparison_project ON insight_comparison (project, started);
