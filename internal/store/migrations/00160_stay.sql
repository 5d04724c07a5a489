-- +goose Up
-- How long the jobs of a run are kept when they fail, in milliseconds, and who asked for it.
ALTER TABLE pipeline_run ADD COLUMN stay BIGINT NOT NULL DEFAULT 0;
ALTER TABLE pipeline_run ADD COLUMN keeper TEXT NOT NULL DEFAULT '';
-- A failed job whose agent has not cleared up; ended is 0 while it stands.
CREATE TABLE pipeline_stay (
    job    TEXT PRIMARY KEY,
    run    BIGINT NOT NULL,
    path   TEXT NOT NULL,
    agent  TEXT NOT NULL,
    keeper TEXT NOT NULL,
    began  BIGINT NOT NULL,
    until  BIGINT NOT NULL,
    ended  BIGINT NOT NULL DEFAULT 0,
    why    TEXT NOT NULL DEFAULT ''
);
CREATE INDEX pipeline_stay_run ON pipeline_stay (run);
CREATE INDEX pipeline_stay_ended ON pipeline_stay (ended);
-- Who was in a job that stood, and when.
CREATE TABLE pipeline_terminal (
    id     TEXT PRIMARY KEY,
    job    TEXT NOT NULL,
    run    BIGINT NOT NULL,
    path   TEXT NOT NULL,
    actor  TEXT NOT NULL,
    opened BIGINT NOT NULL,
    closed BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX pipeline_terminal_run ON pipeline_terminal (run);
