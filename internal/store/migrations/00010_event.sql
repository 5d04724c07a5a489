-- +goose Up
CREATE TABLE event (
  seq       BIGINT PRIMARY KEY,
  id        TEXT   NOT NULL UNIQUE,
  time      BIGINT NOT NULL,
  type      TEXT   NOT NULL,
  subject   TEXT   NOT NULL,
  project   TEXT   NOT NULL,
  actor     TEXT   NOT NULL,
  trace     TEXT   NOT NULL,
  payload   TEXT   NOT NULL,
  links     TEXT   NOT NULL,
  prev_hash TEXT   NOT NULL,
  hash      TEXT   NOT NULL
);
CREATE INDEX event_subject ON event (subject, seq);
CREATE INDEX event_project ON event (project, seq);
CREATE TABLE event_link (
  seq          BIGINT NOT NULL REFERENCES event (seq),
  from_subject TEXT   NOT NULL,
  rel          TEXT   NOT NULL,
  to_subject   TEXT   NOT NULL,
  PRIMARY KEY (from_subject, rel, to_subject)
);
CREATE INDEX event_link_to ON event_link (to_subject);
CREATE TABLE event_head (
  one  BIGINT PRIMARY KEY CHECK (one = 1),
  seq  BIGINT NOT NULL,
  hash TEXT   NOT NULL
);
INSERT INTO event_head (one, seq, hash) VALUES (1, 0, '');
CREATE TABLE event_cursor (
  consumer TEXT   PRIMARY KEY,
  seq      BIGINT NOT NULL
);
