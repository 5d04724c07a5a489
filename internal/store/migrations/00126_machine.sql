-- +goose Up
-- A virtual machine of an environment: the agent on it runs the jobs that go there and no
-- others. token is the SHA-256 of the agent's token; tagged is 1 when a person set the
-- tags, over which the agent's own do not go. registered and seen are 0 before the agent
-- was heard of.
CREATE TABLE environment_machine (
  id          TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  tags        TEXT   NOT NULL,
  tagged      BIGINT NOT NULL,
  token       TEXT   NOT NULL UNIQUE,
  os          TEXT   NOT NULL,
  arch        TEXT   NOT NULL,
  version     TEXT   NOT NULL,
  slots       BIGINT NOT NULL,
  creator     TEXT   NOT NULL,
  created     BIGINT NOT NULL,
  registered  BIGINT NOT NULL,
  seen        BIGINT NOT NULL,
  UNIQUE (project, environment, name)
);
-- The machine that a leg is for, "" for the agents of the server, and its turn.
ALTER TABLE pipeline_job ADD COLUMN machine TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_job ADD COLUMN batch BIGINT NOT NULL DEFAULT 0;
CREATE INDEX pipeline_job_environment ON pipeline_job (environment, run);
