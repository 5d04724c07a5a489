-- +goose Up
-- What is known of an object's drift, as JSON; the row goes when the object is mended.
ALTER TABLE drift_seen ADD COLUMN document TEXT NOT NULL DEFAULT '{}';
