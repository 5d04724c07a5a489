-- +goose Up
-- An advisory in OSV terms. Times are Unix milliseconds, 0 when unknown. score is
-- the CVSS base score times ten, 0 when unknown.
CREATE TABLE advisory (
  id        TEXT   PRIMARY KEY,
  source    TEXT   NOT NULL,
  modified  BIGINT NOT NULL,
  published BIGINT NOT NULL,
  withdrawn BIGINT NOT NULL,
  severity  TEXT   NOT NULL,
  score     BIGINT NOT NULL,
  summary   TEXT   NOT NULL,
  aliases   TEXT   NOT NULL,
  hash      TEXT   NOT NULL
);
CREATE TABLE advisory_alias (
  alias    TEXT NOT NULL,
  advisory TEXT NOT NULL REFERENCES advisory (id),
  PRIMARY KEY (alias, advisory)
);
CREATE INDEX advisory_alias_advisory ON advisory_alias (advisory);
CREATE TABLE advisory_affected (
  advisory  TEXT   NOT NULL REFERENCES advisory (id),
  ord       BIGINT NOT NULL,
  ecosystem TEXT   NOT NULL,
  package   TEXT   NOT NULL,
  ranges    TEXT   NOT NULL,
  versions  TEXT   NOT NULL,
  PRIMARY KEY (advisory, ord)
);
CREATE INDEX advisory_affected_package ON advisory_affected (ecosystem, package);
-- What each source brought, per ecosystem.
CREATE TABLE advisory_source (
  source    TEXT   NOT NULL,
  ecosystem TEXT   NOT NULL,
  entries   BIGINT NOT NULL,
  date      BIGINT NOT NULL,
  loaded    BIGINT NOT NULL,
  PRIMARY KEY (source, ecosystem)
);
