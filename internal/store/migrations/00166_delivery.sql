-- +goose Up
-- Calls to webhooks by the names that their senders gave them, for as long as one of the same
-- name is taken for a repetition.
CREATE TABLE pipeline_delivery (
  hook     TEXT   NOT NULL,
  delivery TEXT   NOT NULL,
  received BIGINT NOT NULL,
  PRIMARY KEY (hook, delivery)
);
CREATE INDEX pipeline_delivery_received ON pipeline_delivery (received);
