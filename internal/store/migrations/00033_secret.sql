-- +goose Up
CREATE TABLE source_secret_key (
  name   TEXT PRIMARY KEY,
  sealed TEXT NOT NULL
);
CREATE TABLE source_secret (
  id          TEXT   PRIMARY KEY,
  repo        TEXT   NOT NULL,
  fingerprint TEXT   NOT NULL,
  rule        TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  redacted    TEXT   NOT NULL,
  blob_id     TEXT   NOT NULL,
  ref         TEXT   NOT NULL,
  commit_id   TEXT   NOT NULL,
  path        TEXT   NOT NULL,
  line        BIGINT NOT NULL,
  actor       TEXT   NOT NULL,
  first_seen  BIGINT NOT NULL,
  last_seen   BIGINT NOT NULL,
  times       BIGINT NOT NULL,
  UNIQUE (repo, fingerprint)
);
CREATE INDEX source_secret_last ON source_secret (repo, last_seen);
CREATE TABLE source_secret_bypass (
  id         TEXT   PRIMARY KEY,
  finding    TEXT   NOT NULL REFERENCES source_secret (id),
  reason     TEXT   NOT NULL,
  comment    TEXT   NOT NULL,
  actor      TEXT   NOT NULL,
  made       BIGINT NOT NULL,
  expires    BIGINT NOT NULL,
  revoked    BIGINT NOT NULL,
  revoked_by TEXT   NOT NULL
);
CREATE INDEX source_secret_bypass_finding ON source_secret_bypass (finding, made);
