-- +goose Up
-- The newest version that was seen of a package or build whose new versions start a pipeline; an
-- empty one when nobody could be asked yet.
CREATE TABLE pipeline_feed (
  pipeline TEXT   NOT NULL,
  alias    TEXT   NOT NULL,
  source   TEXT   NOT NULL,
  version  TEXT   NOT NULL,
  looked   BIGINT NOT NULL,
  PRIMARY KEY (pipeline, alias, source)
);
