-- +goose Up
-- A test of a pipeline by its names; id is made of them.
CREATE TABLE pipeline_test (
  id    BIGINT PRIMARY KEY,
  repo  TEXT   NOT NULL,
  suite TEXT   NOT NULL,
  name  TEXT   NOT NULL
);
CREATE INDEX pipeline_test_repo ON pipeline_test (repo);
-- One outcome of a test: of which run, and of which attempt of the job.
CREATE TABLE pipeline_test_case (
  test_run TEXT   NOT NULL,
  position BIGINT NOT NULL,
  test     BIGINT NOT NULL,
  run      BIGINT NOT NULL,
  attempt  BIGINT NOT NULL,
  outcome  TEXT   NOT NULL,
  millis   BIGINT NOT NULL,
  PRIMARY KEY (test_run, position)
);
CREATE INDEX pipeline_test_case_test ON pipeline_test_case (test, run);
CREATE INDEX pipeline_test_case_run ON pipeline_test_case (run);
