-- +goose Up
-- Walking the chain backwards, newest first.
CREATE INDEX event_link_in ON event_link (to_subject, rel, seq);
-- One row for each tip commit that was pushed on a branch; id is the seq of that event.
CREATE TABLE path_change (
  id          BIGINT PRIMARY KEY,
  project     TEXT   NOT NULL,
  repo        TEXT   NOT NULL,
  ref         TEXT   NOT NULL,
  commit_hash TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  author      TEXT   NOT NULL,
  pushed_by   TEXT   NOT NULL,
  pushed      BIGINT NOT NULL,
  is_default  BIGINT NOT NULL,
  UNIQUE (repo, ref, commit_hash)
);
CREATE INDEX path_change_project ON path_change (project, id);
CREATE INDEX path_change_commit ON path_change (commit_hash);
-- Which changes a run, image or release belongs to.
CREATE TABLE path_subject (
  subject   TEXT   NOT NULL,
  change_id BIGINT NOT NULL REFERENCES path_change (id),
  PRIMARY KEY (subject, change_id)
);
-- What a cell is made of: a pipeline's newest run, a test run, an image, a release, a pod.
CREATE TABLE path_part (
  change_id BIGINT NOT NULL REFERENCES path_change (id),
  project   TEXT   NOT NULL,
  lock      TEXT   NOT NULL,
  part      TEXT   NOT NULL,
  seq       BIGINT NOT NULL,
  time      BIGINT NOT NULL,
  actor     TEXT   NOT NULL,
  run       BIGINT NOT NULL,
  state     TEXT   NOT NULL,
  body      TEXT   NOT NULL,
  PRIMARY KEY (change_id, lock, part)
);
CREATE INDEX path_part_part ON path_part (lock, part);
CREATE INDEX path_part_newest ON path_part (project, lock, seq);
CREATE INDEX path_part_state ON path_part (project, lock, state);
-- Names of things as people write them, resolved to their newest subject.
CREATE TABLE evidence_name (
  project TEXT   NOT NULL,
  kind    TEXT   NOT NULL,
  name    TEXT   NOT NULL,
  subject TEXT   NOT NULL,
  seq     BIGINT NOT NULL,
  PRIMARY KEY (kind, name, project)
);
