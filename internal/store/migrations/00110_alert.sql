-- +goose Up
CREATE TABLE alert_rule (
  id          TEXT   PRIMARY KEY,
  project     TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  kind        TEXT   NOT NULL,
  origin      TEXT   NOT NULL,
  body        TEXT   NOT NULL,
  evaluated   BIGINT NOT NULL,
  memory      TEXT   NOT NULL,
  UNIQUE (project, name)
);
CREATE TABLE alert (
  id          TEXT   PRIMARY KEY,
  rule        TEXT   NOT NULL,
  fingerprint TEXT   NOT NULL,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  release     TEXT   NOT NULL,
  severity    TEXT   NOT NULL,
  fired       BIGINT NOT NULL,
  resolved    BIGINT NOT NULL,
  body        TEXT   NOT NULL
);
CREATE UNIQUE INDEX alert_open ON alert (fingerprint) WHERE resolved = 0;
CREATE INDEX alert_rule_id ON alert (rule, id);
CREATE INDEX alert_project ON alert (project, id);
CREATE INDEX alert_release ON alert (release, id);
CREATE INDEX alert_resolved ON alert (resolved);
CREATE TABLE alert_change (
  alert  TEXT   NOT NULL,
  at     BIGINT NOT NULL,
  what   TEXT   NOT NULL,
  who    TEXT   NOT NULL,
  note   TEXT   NOT NULL
);
CREATE INDEX alert_change_alert ON alert_change (alert, at);
CREATE TABLE alert_evaluation (
  rule   TEXT   NOT NULL,
  at     BIGINT NOT NULL,
  body   TEXT   NOT NULL
);
CREATE INDEX alert_evaluation_rule ON alert_evaluation (rule, at);
CREATE INDEX alert_evaluation_at ON alert_evaluation (at);
CREATE TABLE alert_silence (
  id      TEXT   PRIMARY KEY,
  project TEXT   NOT NULL,
  until   BIGINT NOT NULL,
  body    TEXT   NOT NULL
);
CREATE INDEX alert_silence_project ON alert_silence (project, id);
CREATE TABLE alert_receiver (
  project TEXT NOT NULL,
  name    TEXT NOT NULL,
  body    TEXT NOT NULL,
  secret  TEXT NOT NULL,
  PRIMARY KEY (project, name)
);
CREATE TABLE alert_route (
  project TEXT PRIMARY KEY,
  body    TEXT NOT NULL
);
CREATE TABLE alert_notification (
  id       TEXT   PRIMARY KEY,
  project  TEXT   NOT NULL,
  receiver TEXT   NOT NULL,
  last     BIGINT NOT NULL,
  body     TEXT   NOT NULL
);
CREATE INDEX alert_notification_project ON alert_notification (project, last);
CREATE INDEX alert_notification_last ON alert_notification (last);
CREATE TABLE alert_notified (
  alert        TEXT NOT NULL,
  notification TEXT NOT NULL,
  PRIMARY KEY (alert, notification)
);
CREATE TABLE alert_state (
  name TEXT PRIMARY KEY,
  body TEXT NOT NULL
);
