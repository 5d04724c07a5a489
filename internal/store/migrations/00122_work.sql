-- +goose Up
-- Points are hundredths. Times are milliseconds of the Unix epoch, 0 for never.
CREATE TABLE work_counter (
  one   BIGINT PRIMARY KEY,
  value BIGINT NOT NULL
);
INSERT INTO work_counter (one, value) VALUES (1, 0);
-- The columns of a project's board; a project without rows has the default ones.
CREATE TABLE work_state (
  project  TEXT   NOT NULL,
  position BIGINT NOT NULL,
  name     TEXT   NOT NULL,
  category TEXT   NOT NULL,
  PRIMARY KEY (project, position)
);
CREATE TABLE work_sprint (
  id        TEXT   PRIMARY KEY,
  project   TEXT   NOT NULL,
  name      TEXT   NOT NULL,
  starts    BIGINT NOT NULL,
  ends      BIGINT NOT NULL,
  goal      TEXT   NOT NULL,
  capacity  BIGINT NOT NULL,
  people    TEXT   NOT NULL,
  security  BIGINT NOT NULL,
  state     TEXT   NOT NULL,
  activated BIGINT NOT NULL,
  closed    BIGINT NOT NULL,
  scope     BIGINT NOT NULL,
  done      BIGINT NOT NULL,
  items     BIGINT NOT NULL,
  version   BIGINT NOT NULL
);
CREATE UNIQUE INDEX work_sprint_name ON work_sprint (project, name);
CREATE UNIQUE INDEX work_sprint_active ON work_sprint (project) WHERE state = 'active';
CREATE INDEX work_sprint_start ON work_sprint (project, starts);
CREATE TABLE work_item (
  number     BIGINT PRIMARY KEY,
  project    TEXT   NOT NULL,
  type       TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  folded     TEXT   NOT NULL,
  body       TEXT   NOT NULL,
  state      TEXT   NOT NULL,
  category   TEXT   NOT NULL,
  assignee   TEXT   NOT NULL,
  points     BIGINT NOT NULL,
  priority   BIGINT NOT NULL,
  severity   TEXT   NOT NULL,
  labels     TEXT   NOT NULL,
  parent     BIGINT NOT NULL,
  sprint     TEXT   NOT NULL,
  place      TEXT   NOT NULL,
  version    BIGINT NOT NULL,
  created    BIGINT NOT NULL,
  created_by TEXT   NOT NULL,
  updated    BIGINT NOT NULL,
  ended      BIGINT NOT NULL,
  source     TEXT   NOT NULL,
  signal     TEXT   NOT NULL,
  count      BIGINT NOT NULL,
  active     BIGINT NOT NULL,
  exposure   BIGINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen  BIGINT NOT NULL,
  auto       BIGINT NOT NULL,
  wont_fix   TEXT   NOT NULL,
  until      BIGINT NOT NULL,
  triage     TEXT   NOT NULL,
  triaged    TEXT   NOT NULL
);
CREATE UNIQUE INDEX work_item_place ON work_item (project, place);
-- For boards: the columns, and what they add up to.
CREATE INDEX work_item_state ON work_item (project, state, place, points);
CREATE INDEX work_item_category ON work_item (project, category, place);
CREATE INDEX work_item_sprint ON work_item (sprint, place) WHERE sprint <> '';
CREATE INDEX work_item_parent ON work_item (parent) WHERE parent <> 0;
CREATE INDEX work_item_signal ON work_item (project, signal, number) WHERE signal <> '';
-- A signal has one open item at most, also with several servers.
CREATE UNIQUE INDEX work_item_one ON work_item (project, signal) WHERE signal <> '' AND category IN ('proposed', 'in-progress');
CREATE INDEX work_item_until ON work_item (until) WHERE until <> 0;
-- Queries must repeat the conditions of the partial indexes: SQLite proves nothing of a parameter.
CREATE TABLE work_history (
  id     TEXT   PRIMARY KEY,
  item   BIGINT NOT NULL,
  made   BIGINT NOT NULL,
  actor  TEXT   NOT NULL,
  field  TEXT   NOT NULL,
  was    TEXT   NOT NULL,
  became TEXT   NOT NULL,
  why    TEXT   NOT NULL
);
CREATE INDEX work_history_item ON work_history (item, id);
-- The fields sprint-id and category are for burndowns; people see sprint and state.
CREATE INDEX work_history_was ON work_history (was) WHERE field = 'sprint-id';
CREATE INDEX work_history_became ON work_history (became) WHERE field = 'sprint-id';
CREATE TABLE work_comment (
  id     TEXT   PRIMARY KEY,
  item   BIGINT NOT NULL,
  author TEXT   NOT NULL,
  body   TEXT   NOT NULL,
  made   BIGINT NOT NULL,
  edited BIGINT NOT NULL
);
CREATE INDEX work_comment_item ON work_comment (item, id);
-- target is the subject, or the URL of what is none.
CREATE TABLE work_link (
  item   BIGINT NOT NULL,
  rel    TEXT   NOT NULL,
  target TEXT   NOT NULL,
  kind   TEXT   NOT NULL,
  url    TEXT   NOT NULL,
  title  TEXT   NOT NULL,
  made   BIGINT NOT NULL,
  actor  TEXT   NOT NULL,
  PRIMARY KEY (item, rel, target)
);
CREATE INDEX work_link_target ON work_link (target);
-- One thing that was seen; several may share an item. item is the newest one that it made.
CREATE TABLE work_signal (
  project    TEXT   NOT NULL,
  signal     TEXT   NOT NULL,
  item       BIGINT NOT NULL,
  source     TEXT   NOT NULL,
  rule       TEXT   NOT NULL,
  resource   TEXT   NOT NULL,
  title      TEXT   NOT NULL,
  count      BIGINT NOT NULL,
  first_seen BIGINT NOT NULL,
  last_seen  BIGINT NOT NULL,
  cleared    BIGINT NOT NULL,
  why        TEXT   NOT NULL,
  PRIMARY KEY (project, signal)
);
CREATE INDEX work_signal_item ON work_signal (item);
CREATE INDEX work_signal_source ON work_signal (project, source, cleared);
