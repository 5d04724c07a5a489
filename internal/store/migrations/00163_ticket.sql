-- +goose Up
-- An agent that asks again with the ticket of an answer that was lost is answered by this;
-- every claim looks there first.
CREATE INDEX pipeline_job_ticket ON pipeline_job (ticket) WHERE ticket <> '';
