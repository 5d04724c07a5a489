-- +goose Up
-- A repository has several pipelines: one per file that makes one. A pipeline is named by
-- "project/repo", which is the one of azure-pipelines.yml, or by "project/repo:path" of another
-- file. Rows that were of a repository are of its first pipeline, so nothing changes in them.
ALTER TABLE pipeline_definition RENAME COLUMN repo TO pipeline;
-- name is '' as long as the pipeline is called after its repository, branch '' for the
-- repository's default branch.
ALTER TABLE pipeline_definition ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_definition ADD COLUMN folder TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_definition ADD COLUMN branch TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_definition ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_schedule RENAME COLUMN repo TO pipeline;
ALTER TABLE pipeline_batch RENAME COLUMN repo TO pipeline;
ALTER TABLE pipeline_watch RENAME COLUMN repo TO pipeline;
ALTER TABLE pipeline_variable RENAME COLUMN repo TO pipeline;
ALTER TABLE pipeline_test RENAME COLUMN repo TO pipeline;
CREATE INDEX pipeline_run_pipeline ON pipeline_run (repo, file, number);
