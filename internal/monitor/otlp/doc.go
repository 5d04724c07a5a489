// Package otlp receives telemetry by the OpenTelemetry protocol, over gRPC and HTTP, and
// says it in the words of the application tables.
//
// Nouns. A Sender is what a request shows of who sends it. A Resolver finds the Place for
// which it may speak. A span becomes a row of AppRequests (kinds server and consumer) or of
// AppDependencies (the others), its exception events rows of AppExceptions and its other
// events rows of AppTraces; a log record becomes a row of AppTraces, or of AppExceptions
// when it tells of one; metrics become samples with the names that Prometheus would give them.
//
// Invariants.
//   - A success is answered only after everything that the request brought is stored, but
//     for what the partial success says was rejected for good.
//   - An error is retryable exactly when trying again can help (OpenTelemetry protocol
//     specification, "Failures"): 429 and 503 with Retry-After, RESOURCE_EXHAUSTED and
//     UNAVAILABLE with RetryInfo.
//   - The project of a row is that of the place; attributes of the sender never decide it.
//   - A body is bounded before and after it is decompressed.
//
// It imports the kernel and the packages table, place and ingest.
package otlp
