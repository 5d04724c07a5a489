-- +goose Up
-- Settings of an environment. sessions '' means: forbidden when the environment is named
-- production or prod, allowed else. strategy is JSON, '' for all at once.
ALTER TABLE environment ADD COLUMN routing TEXT NOT NULL DEFAULT 'off';
ALTER TABLE environment ADD COLUMN sessions TEXT NOT NULL DEFAULT '';
ALTER TABLE environment ADD COLUMN strategy TEXT NOT NULL DEFAULT '';
ALTER TABLE environment ADD COLUMN drift TEXT NOT NULL DEFAULT 'off';
-- The port of the router for a port of a routed service; it never changes.
CREATE TABLE route_port (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  service     TEXT   NOT NULL,
  port        BIGINT NOT NULL,
  listen      BIGINT NOT NULL,
  PRIMARY KEY (project, environment, service, port),
  UNIQUE (project, environment, listen)
);
-- What the router of an environment is to know, as JSON; version grows with each write.
CREATE TABLE route_table (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  version     BIGINT NOT NULL,
  document    TEXT   NOT NULL,
  PRIMARY KEY (project, environment)
);
-- A canary: the trial of a release. document is its state as JSON. finished is when it
-- ended, 0 while it goes on; times are milliseconds of the Unix epoch.
CREATE TABLE canary (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  number      BIGINT NOT NULL,
  state       TEXT   NOT NULL,
  run         BIGINT NOT NULL,
  started     BIGINT NOT NULL,
  finished    BIGINT NOT NULL,
  document    TEXT   NOT NULL,
  PRIMARY KEY (project, environment, number)
);
CREATE INDEX canary_open ON canary (finished, project, environment);
CREATE INDEX canary_run ON canary (run);
-- Measurements of a canary, the last 200 of each metric of each service.
CREATE TABLE canary_measurement (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  number      BIGINT NOT NULL,
  service     TEXT   NOT NULL,
  metric      TEXT   NOT NULL,
  at          BIGINT NOT NULL,
  document    TEXT   NOT NULL,
  PRIMARY KEY (project, environment, number, service, metric, at)
);
-- Drift that was told of: the same one is told once.
CREATE TABLE drift_seen (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  object      TEXT   NOT NULL,
  sum         TEXT   NOT NULL,
  at          BIGINT NOT NULL,
  PRIMARY KEY (project, environment, object)
);
