-- +goose Up
-- Attempts: a job that runs again gets a row of its own under a new id, so that its log
-- begins anew; what the row before it said is kept here, as it was when it ended. body is
-- the job with its steps as people read it.
CREATE TABLE pipeline_attempt (
  id            TEXT   PRIMARY KEY,
  run           BIGINT NOT NULL REFERENCES pipeline_run (number),
  stage         TEXT   NOT NULL,
  name          TEXT   NOT NULL,
  leg           TEXT   NOT NULL,
  attempt       BIGINT NOT NULL,
  stage_attempt BIGINT NOT NULL,
  position      BIGINT NOT NULL,
  status        TEXT   NOT NULL,
  result        TEXT   NOT NULL,
  why           TEXT   NOT NULL,
  environment   TEXT   NOT NULL,
  machine       TEXT   NOT NULL,
  batch         BIGINT NOT NULL,
  queued        BIGINT NOT NULL,
  started       BIGINT NOT NULL,
  finished      BIGINT NOT NULL,
  body          TEXT   NOT NULL,
  UNIQUE (run, stage, name, leg, attempt)
);
CREATE INDEX pipeline_attempt_environment ON pipeline_attempt (environment, run);
ALTER TABLE pipeline_job ADD COLUMN attempt BIGINT NOT NULL DEFAULT 1;
ALTER TABLE pipeline_artifact ADD COLUMN attempt BIGINT NOT NULL DEFAULT 1;
-- past is 1 for the results of an attempt that was made again.
ALTER TABLE pipeline_test_run ADD COLUMN attempt BIGINT NOT NULL DEFAULT 1;
ALTER TABLE pipeline_test_run ADD COLUMN past BIGINT NOT NULL DEFAULT 0;
-- Who left a stage out; "" when nobody did.
ALTER TABLE pipeline_stage ADD COLUMN skipped TEXT NOT NULL DEFAULT '';
