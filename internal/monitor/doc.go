// Package monitor is telemetry as people see it: questions and their answers, traces, live
// logs, saved views, and the fact that a release was heard of for the first time. Its
// sub-packages do the work: ingest and otlp take telemetry in, the lake keeps logs and
// traces, metric keeps metrics, kql and query answer, alert tells, insight adds up.
//
// Nouns. An Answer is the result of a question in a form for people and programs. A Trace
// is all spans of one operation, as flat columns in the order of their start. A View is a
// question that somebody keeps.
//
// Invariants. Every method asks for the actor's rights in the project first; rows of other
// projects are never part of an answer, whatever the text says. What belongs to no project
// is the platform's and only administrators see it.
//
// It imports the kernel and its own sub-packages.
package monitor
