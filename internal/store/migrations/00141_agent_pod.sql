-- +goose Up
-- Pods of agents. token is the SHA-256 of the pod's token; job is the one that the pod is for,
-- "" while it waits for any; ticket is that of the claim that was answered: there is one.
CREATE TABLE agent_pod (
  name    TEXT   PRIMARY KEY,
  pool    TEXT   NOT NULL,
  token   TEXT   NOT NULL UNIQUE,
  job     TEXT   NOT NULL,
  ticket  TEXT   NOT NULL,
  ready   BIGINT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX agent_pod_pool ON agent_pod (pool, created);
CREATE INDEX agent_pod_job ON agent_pod (job);
