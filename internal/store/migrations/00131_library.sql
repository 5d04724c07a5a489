-- +goose Up
CREATE TABLE library_item (
  id      TEXT   PRIMARY KEY,
  project TEXT   NOT NULL,
  kind    TEXT   NOT NULL,
  folded  TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  body    TEXT   NOT NULL,
  actor   TEXT   NOT NULL,
  changed BIGINT NOT NULL,
  UNIQUE (project, kind, folded)
);
CREATE TABLE library_secret (
  item   TEXT NOT NULL REFERENCES library_item (id),
  name   TEXT NOT NULL,
  sealed TEXT NOT NULL,
  PRIMARY KEY (item, name)
);
