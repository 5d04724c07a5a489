-- +goose Up
CREATE TABLE vault_key (
  name   TEXT PRIMARY KEY,
  sealed TEXT NOT NULL
);
