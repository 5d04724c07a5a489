-- +goose Up
-- review_apps 'on' lets the runs of pull requests make review apps of an environment. A review
-- app is an environment of its own: base is the one that it is of ('' for others), pull and
-- repo the pull request that it shows, ended the time at which it was taken away (0: it is there).
ALTER TABLE environment ADD COLUMN review_apps TEXT NOT NULL DEFAULT 'off';
ALTER TABLE environment ADD COLUMN base TEXT NOT NULL DEFAULT '';
ALTER TABLE environment ADD COLUMN repo TEXT NOT NULL DEFAULT '';
ALTER TABLE environment ADD COLUMN pull BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environment ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
CREATE INDEX environment_review ON environment (project, base, ended);
