// Package level says how serious a line of a log or a log record is.
//
// Nouns. A level is one of the seven values of column LogLevel of ContainerLogV2. It is
// read from a whole line (Of), from the word that a logging library uses for it (OfWord) or
// from OpenTelemetry's number (OfSeverity).
//
// Invariant. A line always has a level: Unknown when it tells none.
//
// It imports the standard library and package table: it is linked into towpath-agent.
package level
