-- +goose Up
-- A query that somebody keeps. shared is 1 when everybody of the project sees it.
CREATE TABLE monitor_view (
  id      TEXT   PRIMARY KEY,
  project TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  query   TEXT   NOT NULL,
  range_s BIGINT NOT NULL,
  owner   TEXT   NOT NULL,
  shared  BIGINT NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (project, owner, name)
);
