-- +goose Up
-- What was found in a layer, kept so that no layer is read twice.
CREATE TABLE supply_layer (
  digest  TEXT   NOT NULL,
  version BIGINT NOT NULL,
  content TEXT   NOT NULL,
  read_at BIGINT NOT NULL,
  PRIMARY KEY (digest, version)
);
-- A package version, once, however many images hold it. name and version are what
-- people see; match_name and match_version are what advisories speak about.
CREATE TABLE supply_package (
  id            TEXT PRIMARY KEY,
  type          TEXT NOT NULL,
  ecosystem     TEXT NOT NULL,
  name          TEXT NOT NULL,
  version       TEXT NOT NULL,
  match_name    TEXT NOT NULL,
  match_version TEXT NOT NULL,
  purl          TEXT NOT NULL
);
CREATE INDEX supply_package_match ON supply_package (match_name, ecosystem);
-- An image by content: what it holds and the newest verdict. ecosystems and missing are
-- JSON lists.
CREATE TABLE supply_image (
  digest     TEXT   PRIMARY KEY,
  ecosystems TEXT   NOT NULL,
  created    BIGINT NOT NULL,
  packages   BIGINT NOT NULL,
  problem    TEXT   NOT NULL,
  scan       TEXT   NOT NULL,
  scanned    BIGINT NOT NULL,
  status     TEXT   NOT NULL,
  critical   BIGINT NOT NULL,
  high       BIGINT NOT NULL,
  medium     BIGINT NOT NULL,
  low        BIGINT NOT NULL,
  unknown    BIGINT NOT NULL,
  advisories BIGINT NOT NULL,
  missing    TEXT   NOT NULL
);
-- hit is 1 when supply_match has a row for the package: most packages have none, and a
-- verdict must not look at those.
CREATE TABLE supply_image_package (
  image   TEXT   NOT NULL REFERENCES supply_image (digest),
  package TEXT   NOT NULL REFERENCES supply_package (id),
  path    TEXT   NOT NULL,
  layer   TEXT   NOT NULL,
  hit     BIGINT NOT NULL,
  PRIMARY KEY (image, package)
);
CREATE INDEX supply_image_package_hit ON supply_image_package (image) WHERE hit = 1;
CREATE INDEX supply_image_package_package ON supply_image_package (package);
-- Which advisory hits which package version.
CREATE TABLE supply_match (
  package  TEXT NOT NULL REFERENCES supply_package (id),
  advisory TEXT NOT NULL,
  fixed    TEXT NOT NULL,
  PRIMARY KEY (package, advisory)
);
CREATE INDEX supply_match_advisory ON supply_match (advisory);
-- The life of a finding in an image: gone is 0 while it holds.
CREATE TABLE supply_finding (
  image    TEXT   NOT NULL,
  package  TEXT   NOT NULL,
  advisory TEXT   NOT NULL,
  first    BIGINT NOT NULL,
  gone     BIGINT NOT NULL,
  PRIMARY KEY (image, package, advisory)
);
-- Where an image was pushed; announced is the scan that the logbook knows of.
CREATE TABLE supply_push (
  repository TEXT   NOT NULL,
  image      TEXT   NOT NULL,
  project    TEXT   NOT NULL,
  media_type TEXT   NOT NULL,
  pushed     BIGINT NOT NULL,
  run        BIGINT NOT NULL,
  announced  TEXT   NOT NULL,
  PRIMARY KEY (repository, image)
);
CREATE INDEX supply_push_image ON supply_push (image);
-- Referrers that describe an image: sbom documents, reports, signatures, provenance.
CREATE TABLE supply_document (
  repository TEXT   NOT NULL,
  image      TEXT   NOT NULL,
  kind       TEXT   NOT NULL,
  digest     TEXT   NOT NULL,
  created    BIGINT NOT NULL,
  identity   TEXT   NOT NULL,
  run        BIGINT NOT NULL,
  scan       TEXT   NOT NULL,
  PRIMARY KEY (repository, image, kind, digest)
);
-- The certificate authority of this installation; its key is in the vault.
CREATE TABLE supply_authority (
  name        TEXT   PRIMARY KEY,
  certificate TEXT   NOT NULL,
  created     BIGINT NOT NULL
);
