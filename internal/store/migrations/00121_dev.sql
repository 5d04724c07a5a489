-- +goose Up
-- A developer's session. host is where the router reaches its pod, "" before the pod runs.
-- state: starting, live, ended. cleaned is 1 when nothing of it is left in the cluster.
-- ports and values_secret are JSON.
CREATE TABLE dev_session (
  id            TEXT   PRIMARY KEY,
  project       TEXT   NOT NULL,
  environment   TEXT   NOT NULL,
  namespace     TEXT   NOT NULL,
  service       TEXT   NOT NULL,
  workload      TEXT   NOT NULL,
  owner         TEXT   NOT NULL,
  route_key     TEXT   NOT NULL UNIQUE,
  mode          TEXT   NOT NULL,
  fallback      BIGINT NOT NULL,
  ports         TEXT   NOT NULL,
  host          TEXT   NOT NULL,
  state         TEXT   NOT NULL,
  cleaned       BIGINT NOT NULL,
  started       BIGINT NOT NULL,
  expires       BIGINT NOT NULL,
  routed_until  BIGINT NOT NULL,
  until_ms      BIGINT NOT NULL,
  ended         BIGINT NOT NULL,
  why           TEXT   NOT NULL,
  values_secret TEXT   NOT NULL
);
CREATE INDEX dev_session_open ON dev_session (cleaned, expires);
CREATE INDEX dev_session_place ON dev_session (project, environment, started);
