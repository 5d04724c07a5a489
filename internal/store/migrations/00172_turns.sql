-- +goose Up
-- The parts of a deployment that are over, each with the agent that had it; '' while there is none.
ALTER TABLE pipeline_job ADD COLUMN turns TEXT NOT NULL DEFAULT '';
