-- +goose Up
ALTER TABLE pipeline_run ADD COLUMN pull BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_run ADD COLUMN head TEXT NOT NULL DEFAULT '';
ALTER TABLE pipeline_run ADD COLUMN request TEXT NOT NULL DEFAULT '';
CREATE INDEX pipeline_run_pull ON pipeline_run (repo, pull);
