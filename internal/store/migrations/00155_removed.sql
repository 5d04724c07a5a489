-- +goose Up
-- When a Helm release was taken away; 0 while it is there.
ALTER TABLE release ADD COLUMN removed BIGINT NOT NULL DEFAULT 0;
