-- +goose Up
CREATE TABLE registry_repository (
  name    TEXT   PRIMARY KEY,
  project TEXT   NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX registry_repository_project ON registry_repository (project);
-- Bytes that are in the blob store. doomed = 1 while the collector removes them.
CREATE TABLE registry_blob (
  digest  TEXT   PRIMARY KEY,
  size    BIGINT NOT NULL,
  touched BIGINT NOT NULL,
  doomed  BIGINT NOT NULL
);
CREATE INDEX registry_blob_touched ON registry_blob (touched);
-- Which repository may serve which blob. Without a row the blob does not exist there.
CREATE TABLE registry_blob_link (
  repository TEXT   NOT NULL REFERENCES registry_repository (name),
  digest     TEXT   NOT NULL REFERENCES registry_blob (digest),
  touched    BIGINT NOT NULL,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX registry_blob_link_digest ON registry_blob_link (digest);
CREATE INDEX registry_blob_link_touched ON registry_blob_link (touched);
CREATE TABLE registry_manifest (
  repository    TEXT   NOT NULL REFERENCES registry_repository (name),
  digest        TEXT   NOT NULL REFERENCES registry_blob (digest),
  media_type    TEXT   NOT NULL,
  artifact_type TEXT   NOT NULL,
  kind          TEXT   NOT NULL,
  subject       TEXT   NOT NULL,
  config        TEXT   NOT NULL,
  annotations   TEXT   NOT NULL,
  size          BIGINT NOT NULL,
  bytes         BIGINT NOT NULL,
  pushed        BIGINT NOT NULL,
  touched       BIGINT NOT NULL,
  pusher        TEXT   NOT NULL,
  run           BIGINT NOT NULL,
  PRIMARY KEY (repository, digest)
);
CREATE INDEX registry_manifest_digest ON registry_manifest (digest);
CREATE INDEX registry_manifest_subject ON registry_manifest (repository, subject, digest);
CREATE INDEX registry_manifest_touched ON registry_manifest (touched);
-- What a manifest names: kind is blob or manifest.
CREATE TABLE registry_reference (
  repository TEXT NOT NULL,
  manifest   TEXT NOT NULL,
  kind       TEXT NOT NULL,
  digest     TEXT NOT NULL,
  PRIMARY KEY (repository, manifest, kind, digest),
  FOREIGN KEY (repository, manifest) REFERENCES registry_manifest (repository, digest)
);
CREATE INDEX registry_reference_digest ON registry_reference (repository, digest);
CREATE TABLE registry_tag (
  repository TEXT   NOT NULL,
  name       TEXT   NOT NULL,
  digest     TEXT   NOT NULL,
  updated    BIGINT NOT NULL,
  PRIMARY KEY (repository, name),
  FOREIGN KEY (repository, digest) REFERENCES registry_manifest (repository, digest)
);
CREATE INDEX registry_tag_digest ON registry_tag (repository, digest);
CREATE TABLE registry_upload (
  id         TEXT   PRIMARY KEY,
  repository TEXT   NOT NULL,
  actor      TEXT   NOT NULL,
  touched    BIGINT NOT NULL
);
CREATE INDEX registry_upload_touched ON registry_upload (touched);
