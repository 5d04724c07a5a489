-- +goose Up
CREATE TABLE environment (
  project   TEXT   NOT NULL,
  name      TEXT   NOT NULL,
  namespace TEXT   NOT NULL UNIQUE,
  created   BIGINT NOT NULL,
  releases  BIGINT NOT NULL,
  PRIMARY KEY (project, name)
);
CREATE TABLE release (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  number      BIGINT NOT NULL,
  name        TEXT   NOT NULL,
  chart       TEXT   NOT NULL,
  revision    BIGINT NOT NULL,
  run         BIGINT NOT NULL,
  commit_sha  TEXT   NOT NULL,
  actor       TEXT   NOT NULL,
  requester   TEXT   NOT NULL,
  images      TEXT   NOT NULL,
  hosts       TEXT   NOT NULL,
  result      TEXT   NOT NULL,
  why         TEXT   NOT NULL,
  started     BIGINT NOT NULL,
  finished    BIGINT NOT NULL,
  PRIMARY KEY (project, environment, number),
  FOREIGN KEY (project, environment) REFERENCES environment (project, name)
);
CREATE INDEX release_run ON release (run);
CREATE TABLE release_pod (
  uid         TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  number      BIGINT NOT NULL,
  namespace   TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  images      TEXT   NOT NULL,
  ready       BIGINT NOT NULL,
  gone        BIGINT NOT NULL,
  restarts    BIGINT NOT NULL,
  why         TEXT   NOT NULL,
  since       BIGINT NOT NULL
);
CREATE INDEX release_pod_release ON release_pod (project, environment, number);
