-- +goose Up
CREATE TABLE identity_user (
  name     TEXT   PRIMARY KEY,
  admin    BIGINT NOT NULL,
  password TEXT   NOT NULL,
  created  BIGINT NOT NULL
);
CREATE TABLE identity_token (
  id       TEXT   PRIMARY KEY,
  username TEXT   NOT NULL REFERENCES identity_user (name),
  name     TEXT   NOT NULL,
  hash     TEXT   NOT NULL UNIQUE,
  scope    TEXT   NOT NULL,
  created  BIGINT NOT NULL,
  expires  BIGINT NOT NULL,
  revoked  BIGINT NOT NULL
);
CREATE INDEX identity_token_user ON identity_token (username);
CREATE TABLE identity_session (
  hash     TEXT   PRIMARY KEY,
  id       TEXT   NOT NULL UNIQUE,
  username TEXT   NOT NULL REFERENCES identity_user (name),
  created  BIGINT NOT NULL,
  seen     BIGINT NOT NULL,
  expires  BIGINT NOT NULL
);
CREATE INDEX identity_session_user ON identity_session (username);
CREATE TABLE identity_project (
  name    TEXT   PRIMARY KEY,
  created BIGINT NOT NULL
);
CREATE TABLE identity_member (
  project  TEXT NOT NULL REFERENCES identity_project (name),
  username TEXT NOT NULL REFERENCES identity_user (name),
  role     TEXT NOT NULL,
  PRIMARY KEY (project, username)
);
CREATE INDEX identity_member_user ON identity_member (username);
CREATE TABLE identity_secret (
  name   TEXT PRIMARY KEY,
  sealed TEXT NOT NULL
);
