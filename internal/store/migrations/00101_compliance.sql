-- +goose Up
-- An object that some rule matches. Its verdicts name it by number, as there are many. images
-- are the digests that it runs, separated by spaces.
CREATE TABLE audit_object (
  id          BIGINT PRIMARY KEY,
  cluster     TEXT   NOT NULL,
  uid         TEXT   NOT NULL,
  api_group   TEXT   NOT NULL,
  kind        TEXT   NOT NULL,
  namespace   TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  project     TEXT   NOT NULL,
  environment TEXT   NOT NULL,
  actor       TEXT   NOT NULL,
  run         BIGINT NOT NULL,
  commit_sha  TEXT   NOT NULL,
  images      TEXT   NOT NULL,
  UNIQUE (cluster, uid)
);
CREATE INDEX audit_object_kind ON audit_object (cluster, api_group, kind);
CREATE INDEX audit_object_place ON audit_object (project, environment);
-- A rule of an assignment as it was compiled.
CREATE TABLE audit_rule (
  id         BIGINT PRIMARY KEY,
  assignment TEXT   NOT NULL,
  rule       TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  policy     TEXT   NOT NULL,
  UNIQUE (assignment, rule, policy)
);
-- violations counts them; path and message are of the first.
CREATE TABLE audit_verdict (
  object     BIGINT NOT NULL REFERENCES audit_object (id) ON DELETE CASCADE,
  rule       BIGINT NOT NULL REFERENCES audit_rule (id),
  outcome    TEXT   NOT NULL,
  path       TEXT   NOT NULL,
  message    TEXT   NOT NULL,
  violations BIGINT NOT NULL,
  exemption  TEXT   NOT NULL,
  first_seen BIGINT NOT NULL,
  since      BIGINT NOT NULL,
  PRIMARY KEY (object, rule)
);
CREATE INDEX audit_verdict_rule ON audit_verdict (rule, outcome);
-- Which objects use an image.
CREATE TABLE audit_image (
  digest TEXT   NOT NULL,
  object BIGINT NOT NULL REFERENCES audit_object (id) ON DELETE CASCADE,
  PRIMARY KEY (digest, object)
);
CREATE INDEX audit_image_object ON audit_image (object);
-- Who applied an object last.
CREATE TABLE applier (
  cluster    TEXT   NOT NULL,
  namespace  TEXT   NOT NULL,
  api_group  TEXT   NOT NULL,
  kind       TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  actor      TEXT   NOT NULL,
  run        BIGINT NOT NULL,
  job        TEXT   NOT NULL,
  commit_sha TEXT   NOT NULL,
  project    TEXT   NOT NULL,
  applied    BIGINT NOT NULL,
  PRIMARY KEY (cluster, namespace, api_group, kind, name)
);
CREATE INDEX applier_applied ON applier (applied);
-- How far a cluster's audit log was read. position counts bytes in the file of that inode;
-- head is a digest of the file's beginning, as inodes are used again.
CREATE TABLE audit_log_cursor (
  cluster  TEXT   PRIMARY KEY,
  inode    BIGINT NOT NULL,
  position BIGINT NOT NULL,
  head     TEXT   NOT NULL
);
