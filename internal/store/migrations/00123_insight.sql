-- +goose Up
-- What the platform saw under one stable key, and what became of it. Times are
-- milliseconds of the Unix epoch, 0 for never. due is when the engine looks at the row
-- next; healthy is since when it is well; repeats were not told to the item yet; seq is
-- the last event that was counted. document holds evidence, workloads and commits as JSON.
CREATE TABLE insight_signal (
  project     TEXT   NOT NULL,
  sig_key     TEXT   NOT NULL,
  source      TEXT   NOT NULL,
  rule        TEXT   NOT NULL,
  resource    TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  release_id  TEXT   NOT NULL,
  severity    TEXT   NOT NULL,
  state       TEXT   NOT NULL,
  item        BIGINT NOT NULL,
  seen        BIGINT NOT NULL,
  repeats     BIGINT NOT NULL,
  first_seen  BIGINT NOT NULL,
  last_seen   BIGINT NOT NULL,
  opened      BIGINT NOT NULL,
  healthy     BIGINT NOT NULL,
  resolved    BIGINT NOT NULL,
  due         BIGINT NOT NULL,
  seq         BIGINT NOT NULL,
  document    TEXT   NOT NULL,
  PRIMARY KEY (project, sig_key)
);
CREATE INDEX insight_signal_due ON insight_signal (due);
CREATE INDEX insight_signal_item ON insight_signal (item);
CREATE INDEX insight_signal_place ON insight_signal (project, environment, state);
CREATE INDEX insight_signal_opened ON insight_signal (project, source, opened);
-- A release that is tried beside a stable one: signals about either wait for its end.
CREATE TABLE insight_trial (
  release_id  TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  stable      TEXT   NOT NULL,
  started     BIGINT NOT NULL,
  finished    BIGINT NOT NULL
);
CREATE INDEX insight_trial_place ON insight_trial (project, environment, finished);
-- A repository of images, or of code, that is to be looked at; due is 0 when it was.
CREATE TABLE insight_inventory (
  kind    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  project TEXT   NOT NULL,
  tip     TEXT   NOT NULL,
  due     BIGINT NOT NULL,
  PRIMARY KEY (kind, name)
);
CREATE INDEX insight_inventory_due ON insight_inventory (due);
-- What is known of the cause behind an item, as JSON.
CREATE TABLE insight_cause (
  item     BIGINT PRIMARY KEY,
  project  TEXT   NOT NULL,
  document TEXT   NOT NULL
);
-- What DORA's numbers are made of. A change is one push to a default branch; a lead is its
-- arrival in an environment; an incident is an item that signals about a release opened.
CREATE TABLE dora_change (
  project     TEXT   NOT NULL,
  repo        TEXT   NOT NULL,
  commit_hash TEXT   NOT NULL,
  seq         BIGINT NOT NULL,
  title       TEXT   NOT NULL,
  author      TEXT   NOT NULL,
  committed   BIGINT NOT NULL,
  pushed      BIGINT NOT NULL,
  PRIMARY KEY (project, repo, commit_hash)
);
CREATE INDEX dora_change_seq ON dora_change (project, repo, seq);
CREATE TABLE dora_deployment (
  release_id  TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  commit_hash TEXT   NOT NULL,
  run         BIGINT NOT NULL,
  finished    BIGINT NOT NULL
);
CREATE INDEX dora_deployment_at ON dora_deployment (project, environment, finished);
CREATE TABLE dora_lead (
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  repo        TEXT   NOT NULL,
  commit_hash TEXT   NOT NULL,
  release_id  TEXT   NOT NULL,
  finished    BIGINT NOT NULL,
  lead_ms     BIGINT NOT NULL,
  PRIMARY KEY (project, environment, repo, commit_hash)
);
CREATE INDEX dora_lead_at ON dora_lead (project, environment, finished);
CREATE TABLE dora_incident (
  item        BIGINT NOT NULL,
  opened      BIGINT NOT NULL,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  release_id  TEXT   NOT NULL,
  source      TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  closed      BIGINT NOT NULL,
  PRIMARY KEY (item, opened)
);
CREATE INDEX dora_incident_at ON dora_incident (project, environment, opened);
