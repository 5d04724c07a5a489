-- +goose Up
CREATE TABLE source_pull_counter (
  repo  TEXT   PRIMARY KEY,
  value BIGINT NOT NULL
);
CREATE TABLE source_pull (
  repo       TEXT   NOT NULL,
  number     BIGINT NOT NULL,
  project    TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  body       TEXT   NOT NULL,
  author     TEXT   NOT NULL,
  source     TEXT   NOT NULL,
  target     TEXT   NOT NULL,
  draft      BIGINT NOT NULL,
  state      TEXT   NOT NULL,
  head       TEXT   NOT NULL,
  base       TEXT   NOT NULL,
  tip        TEXT   NOT NULL,
  test       TEXT   NOT NULL,
  conflicts  TEXT   NOT NULL,
  pusher     TEXT   NOT NULL,
  opened     BIGINT NOT NULL,
  updated    BIGINT NOT NULL,
  moved      BIGINT NOT NULL,
  drafted    BIGINT NOT NULL,
  conflicted BIGINT NOT NULL,
  ended      BIGINT NOT NULL,
  ended_by   TEXT   NOT NULL,
  method     TEXT   NOT NULL,
  result     TEXT   NOT NULL,
  merging    TEXT   NOT NULL,
  dirty      BIGINT NOT NULL,
  PRIMARY KEY (repo, number)
);
CREATE UNIQUE INDEX source_pull_open ON source_pull (repo, source, target) WHERE state = 'open';
CREATE INDEX source_pull_project ON source_pull (project, state, opened);
CREATE INDEX source_pull_head ON source_pull (head);
CREATE INDEX source_pull_dirty ON source_pull (dirty) WHERE dirty > 0;
CREATE TABLE source_pull_reviewer (
  repo     TEXT   NOT NULL,
  number   BIGINT NOT NULL,
  username TEXT   NOT NULL,
  owner    BIGINT NOT NULL,
  asked    BIGINT NOT NULL,
  PRIMARY KEY (repo, number, username)
);
CREATE INDEX source_pull_reviewer_user ON source_pull_reviewer (username);
CREATE TABLE source_pull_review (
  id           TEXT   PRIMARY KEY,
  repo         TEXT   NOT NULL,
  number       BIGINT NOT NULL,
  reviewer     TEXT   NOT NULL,
  admin        BIGINT NOT NULL,
  verdict      TEXT   NOT NULL,
  body         TEXT   NOT NULL,
  commit_id    TEXT   NOT NULL,
  base_id      TEXT   NOT NULL,
  target       TEXT   NOT NULL,
  given        BIGINT NOT NULL,
  stale        BIGINT NOT NULL,
  dismissed    BIGINT NOT NULL,
  dismissed_by TEXT   NOT NULL,
  reason       TEXT   NOT NULL
);
CREATE INDEX source_pull_review_pull ON source_pull_review (repo, number, id);
CREATE TABLE source_pull_thread (
  id          TEXT   PRIMARY KEY,
  repo        TEXT   NOT NULL,
  number      BIGINT NOT NULL,
  path        TEXT   NOT NULL,
  side        TEXT   NOT NULL,
  line        BIGINT NOT NULL,
  commit_id   TEXT   NOT NULL,
  context     TEXT   NOT NULL,
  created     BIGINT NOT NULL,
  resolved    BIGINT NOT NULL,
  resolved_by TEXT   NOT NULL
);
CREATE INDEX source_pull_thread_pull ON source_pull_thread (repo, number, id);
CREATE TABLE source_pull_comment (
  id      TEXT   PRIMARY KEY,
  repo    TEXT   NOT NULL,
  number  BIGINT NOT NULL,
  thread  TEXT   NOT NULL REFERENCES source_pull_thread (id),
  author  TEXT   NOT NULL,
  body    TEXT   NOT NULL,
  created BIGINT NOT NULL,
  edited  BIGINT NOT NULL
);
CREATE INDEX source_pull_comment_pull ON source_pull_comment (repo, number, id);
CREATE TABLE source_pull_entry (
  id     TEXT   PRIMARY KEY,
  repo   TEXT   NOT NULL,
  number BIGINT NOT NULL,
  kind   TEXT   NOT NULL,
  made   BIGINT NOT NULL,
  actor  TEXT   NOT NULL,
  was    TEXT   NOT NULL,
  became TEXT   NOT NULL,
  note   TEXT   NOT NULL,
  count  BIGINT NOT NULL
);
CREATE INDEX source_pull_entry_pull ON source_pull_entry (repo, number, id);
CREATE TABLE source_check (
  repo        TEXT   NOT NULL,
  commit_id   TEXT   NOT NULL,
  name        TEXT   NOT NULL,
  source      TEXT   NOT NULL,
  state       TEXT   NOT NULL,
  title       TEXT   NOT NULL,
  summary     TEXT   NOT NULL,
  url         TEXT   NOT NULL,
  annotations TEXT   NOT NULL,
  kept        BIGINT NOT NULL,
  count       BIGINT NOT NULL,
  began       BIGINT NOT NULL,
  reported    BIGINT NOT NULL,
  PRIMARY KEY (repo, commit_id, name, source)
);
