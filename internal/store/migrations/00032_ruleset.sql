-- +goose Up
CREATE TABLE source_ruleset (
  id          TEXT   PRIMARY KEY,
  repo        TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  enforcement TEXT   NOT NULL,
  body        TEXT   NOT NULL,
  changed     BIGINT NOT NULL,
  UNIQUE (repo, name)
);
CREATE TABLE identity_key (
  id          TEXT   PRIMARY KEY,
  fingerprint TEXT   NOT NULL UNIQUE,
  blob        TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  username    TEXT   REFERENCES identity_user (name),
  repo        TEXT   NOT NULL,
  writes      BIGINT NOT NULL,
  created     BIGINT NOT NULL
);
CREATE INDEX identity_key_user ON identity_key (username);
CREATE INDEX identity_key_repo ON identity_key (repo);
