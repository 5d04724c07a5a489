-- +goose Up
-- Pools of agents. folded is the name in lower case; token is the SHA-256 of the token that
-- the agents of the pool register with, "" before there is one.
CREATE TABLE agent_pool (
  folded   TEXT   PRIMARY KEY,
  name     TEXT   NOT NULL,
  kind     TEXT   NOT NULL,
  settings TEXT   NOT NULL,
  token    TEXT   NOT NULL,
  creator  TEXT   NOT NULL,
  created  BIGINT NOT NULL
);
CREATE INDEX agent_pool_token ON agent_pool (token);
INSERT INTO agent_pool (folded, name, kind, settings, token, creator, created) VALUES ('default', 'Default', 'host', '{}', '', '', 0);
INSERT INTO agent_pool (folded, name, kind, settings, token, creator, created) VALUES ('kubernetes', 'Kubernetes', 'kubernetes', '{}', '', '', 0);
-- capabilities are those that the agent reports, own those that a person set.
ALTER TABLE pipeline_agent ADD COLUMN pool TEXT NOT NULL DEFAULT 'default';
ALTER TABLE pipeline_agent ADD COLUMN capabilities TEXT NOT NULL DEFAULT '{}';
ALTER TABLE pipeline_agent ADD COLUMN own TEXT NOT NULL DEFAULT '{}';
ALTER TABLE pipeline_agent ADD COLUMN enabled BIGINT NOT NULL DEFAULT 1;
-- The pool that a job goes to, "" for one that is for a machine, and its demands, one a line
-- in order, so that equal ones are one entry of the index that agents look into.
ALTER TABLE pipeline_job ADD COLUMN pool TEXT NOT NULL DEFAULT 'default';
ALTER TABLE pipeline_job ADD COLUMN demands TEXT NOT NULL DEFAULT '';
CREATE INDEX pipeline_job_queue ON pipeline_job (status, pool, machine, demands, queued, position, id);
UPDATE pipeline_job SET pool = '' WHERE machine <> '';
