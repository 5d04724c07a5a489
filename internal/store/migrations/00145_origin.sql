-- +goose Up
-- What lies outside of a pipeline's repository and starts it (J005 to J007): other pipelines,
-- images, repositories, calls. They are those of the file on the default branch. source is the
-- thing in lower case, body the resource as JSON.
CREATE TABLE pipeline_watch (
  repo     TEXT   NOT NULL,
  position BIGINT NOT NULL,
  project  TEXT   NOT NULL,
  category TEXT   NOT NULL,
  source   TEXT   NOT NULL,
  body     TEXT   NOT NULL,
  PRIMARY KEY (repo, position)
);
CREATE INDEX pipeline_watch_source ON pipeline_watch (category, source);
-- What started a run that something outside of its repository started, as JSON, and the run
-- behind it; appends is 1 when the commit's message belongs to the name of the run (X032).
ALTER TABLE pipeline_run ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_run ADD COLUMN triggered_by BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_run ADD COLUMN appends BIGINT NOT NULL DEFAULT 1;
CREATE INDEX pipeline_run_repo ON pipeline_run (repo, number);
-- The numbers by which the service's own clients name pipelines.
CREATE TABLE pipeline_definition (
  repo TEXT   PRIMARY KEY,
  id   BIGINT NOT NULL UNIQUE
);
