-- +goose Up
CREATE TABLE pipeline_attachment (
  id      TEXT   PRIMARY KEY,
  run     BIGINT NOT NULL REFERENCES pipeline_run (number),
  job     TEXT   NOT NULL,
  path    TEXT   NOT NULL,
  step    BIGINT NOT NULL,
  type    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  bytes   BIGINT NOT NULL,
  digest  TEXT   NOT NULL,
  created BIGINT NOT NULL,
  UNIQUE (job, step, type, name)
);
CREATE INDEX pipeline_attachment_run ON pipeline_attachment (run, created);
CREATE TABLE pipeline_tag (
  run     BIGINT NOT NULL REFERENCES pipeline_run (number),
  folded  TEXT   NOT NULL,
  tag     TEXT   NOT NULL,
  job     TEXT   NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (run, folded)
);
CREATE INDEX pipeline_tag_folded ON pipeline_tag (folded, run);
CREATE TABLE pipeline_coverage (
  id               TEXT   PRIMARY KEY,
  run              BIGINT NOT NULL REFERENCES pipeline_run (number),
  job              TEXT   NOT NULL,
  file             TEXT   NOT NULL,
  format           TEXT   NOT NULL,
  lines            BIGINT NOT NULL,
  lines_covered    BIGINT NOT NULL,
  branches         BIGINT NOT NULL,
  branches_covered BIGINT NOT NULL,
  digest           TEXT   NOT NULL,
  created          BIGINT NOT NULL,
  UNIQUE (run, job, file)
);
ALTER TABLE pipeline_step ADD COLUMN progress BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_step ADD COLUMN operation TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_step ADD COLUMN details TEXT NOT NULL DEFAULT '';
