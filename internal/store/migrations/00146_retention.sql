-- +goose Up
-- How long runs stay (J009). project is '' for the rule of the installation; body is the list
-- of rules as JSON.
CREATE TABLE pipeline_retention (
  project TEXT   PRIMARY KEY,
  body    TEXT   NOT NULL,
  actor   TEXT   NOT NULL,
  changed BIGINT NOT NULL
);
-- Runs that somebody keeps by hand.
CREATE TABLE pipeline_keep (
  run     BIGINT PRIMARY KEY REFERENCES pipeline_run (number),
  why     TEXT   NOT NULL,
  actor   TEXT   NOT NULL,
  created BIGINT NOT NULL
);
-- What is left of a run that was removed; the logbook has the rest.
CREATE TABLE pipeline_removed (
  run     BIGINT PRIMARY KEY,
  project TEXT   NOT NULL,
  repo    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  ref     TEXT   NOT NULL,
  hash    TEXT   NOT NULL,
  result  TEXT   NOT NULL,
  why     TEXT   NOT NULL,
  removed BIGINT NOT NULL
);
-- Blobs that a removed run referred to, until they are known to be nobody's.
CREATE TABLE pipeline_waste (
  digest TEXT PRIMARY KEY
);
