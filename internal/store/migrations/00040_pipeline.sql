-- +goose Up
CREATE TABLE pipeline_counter (
  name  TEXT   PRIMARY KEY,
  value BIGINT NOT NULL
);
CREATE TABLE pipeline_cause (
  cause TEXT   PRIMARY KEY,
  run   BIGINT NOT NULL
);
CREATE TABLE pipeline_run (
  number     BIGINT PRIMARY KEY,
  project    TEXT   NOT NULL,
  repo       TEXT   NOT NULL,
  file       TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  reason     TEXT   NOT NULL,
  ref        TEXT   NOT NULL,
  hash       TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  requester  TEXT   NOT NULL,
  rerun_of   BIGINT NOT NULL,
  status     TEXT   NOT NULL,
  result     TEXT   NOT NULL,
  why        TEXT   NOT NULL,
  canceled   TEXT   NOT NULL,
  parameters TEXT   NOT NULL,
  variables  TEXT   NOT NULL,
  plan       TEXT   NOT NULL,
  queued     BIGINT NOT NULL,
  started    BIGINT NOT NULL,
  finished   BIGINT NOT NULL
);
CREATE INDEX pipeline_run_project ON pipeline_run (project, number);
CREATE INDEX pipeline_run_hash ON pipeline_run (hash);
CREATE INDEX pipeline_run_status ON pipeline_run (status);
CREATE TABLE pipeline_stage (
  run       BIGINT NOT NULL REFERENCES pipeline_run (number),
  name      TEXT   NOT NULL,
  position  BIGINT NOT NULL,
  status    TEXT   NOT NULL,
  result    TEXT   NOT NULL,
  why       TEXT   NOT NULL,
  requested TEXT   NOT NULL,
  variables TEXT   NOT NULL,
  started   BIGINT NOT NULL,
  finished  BIGINT NOT NULL,
  PRIMARY KEY (run, name)
);
CREATE TABLE pipeline_job (
  id           TEXT   PRIMARY KEY,
  run          BIGINT NOT NULL REFERENCES pipeline_run (number),
  stage        TEXT   NOT NULL,
  name         TEXT   NOT NULL,
  leg          TEXT   NOT NULL,
  position     BIGINT NOT NULL,
  status       TEXT   NOT NULL,
  result       TEXT   NOT NULL,
  why          TEXT   NOT NULL,
  environment  TEXT   NOT NULL,
  agent        TEXT   NOT NULL,
  lease        TEXT   NOT NULL,
  ticket       TEXT   NOT NULL,
  stop         TEXT   NOT NULL,
  max_parallel BIGINT NOT NULL,
  tolerant     BIGINT NOT NULL,
  spec         TEXT   NOT NULL,
  outputs      TEXT   NOT NULL,
  queued       BIGINT NOT NULL,
  started      BIGINT NOT NULL,
  finished     BIGINT NOT NULL,
  UNIQUE (run, stage, name, leg)
);
CREATE INDEX pipeline_job_status ON pipeline_job (status, queued);
CREATE TABLE pipeline_step (
  job      TEXT   NOT NULL REFERENCES pipeline_job (id),
  number   BIGINT NOT NULL,
  hook     TEXT   NOT NULL,
  name     TEXT   NOT NULL,
  title    TEXT   NOT NULL,
  task     TEXT   NOT NULL,
  status   TEXT   NOT NULL,
  result   TEXT   NOT NULL,
  why      TEXT   NOT NULL,
  started  BIGINT NOT NULL,
  finished BIGINT NOT NULL,
  PRIMARY KEY (job, number)
);
CREATE TABLE pipeline_artifact (
  run     BIGINT NOT NULL REFERENCES pipeline_run (number),
  name    TEXT   NOT NULL,
  folded  TEXT   NOT NULL,
  job     TEXT   NOT NULL,
  files   BIGINT NOT NULL,
  bytes   BIGINT NOT NULL,
  digest  TEXT   NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (run, folded)
);
CREATE TABLE pipeline_test_run (
  id      TEXT   PRIMARY KEY,
  run     BIGINT NOT NULL REFERENCES pipeline_run (number),
  job     TEXT   NOT NULL,
  title   TEXT   NOT NULL,
  total   BIGINT NOT NULL,
  passed  BIGINT NOT NULL,
  failed  BIGINT NOT NULL,
  skipped BIGINT NOT NULL,
  millis  BIGINT NOT NULL,
  digest  TEXT   NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX pipeline_test_run_run ON pipeline_test_run (run);
CREATE TABLE pipeline_test_failure (
  test_run TEXT   NOT NULL REFERENCES pipeline_test_run (id),
  position BIGINT NOT NULL,
  suite    TEXT   NOT NULL,
  name     TEXT   NOT NULL,
  message  TEXT   NOT NULL,
  details  TEXT   NOT NULL,
  millis   BIGINT NOT NULL,
  PRIMARY KEY (test_run, position)
);
CREATE TABLE pipeline_agent (
  name    TEXT   PRIMARY KEY,
  os      TEXT   NOT NULL,
  arch    TEXT   NOT NULL,
  version TEXT   NOT NULL,
  slots   BIGINT NOT NULL,
  seen    BIGINT NOT NULL
);
