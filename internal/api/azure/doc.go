// Package azure answers the part of the service's own REST API that scripts use about runs:
// builds and pipelines with their timelines, logs and artifacts, to read and to queue (J012).
// It lies below /PROJECT/_apis, so that $(System.CollectionUri)$(System.TeamProject)/_apis/…
// of a pipeline works, and takes a personal token as the password of Basic, or a job's
// $(System.AccessToken) as bearer.
//
// Nouns. A build is a run, by its number; a definition or pipeline is that of a repository,
// by its number (System.DefinitionId) or its name. A log is that of a step; its number counts
// the steps of the run in their order.
//
// Invariants.
//   - It owns no rule: every answer is one of package pipeline, which asks for the rights.
//   - What it does not know is refused by name, in the service's form of an error.
//   - What changes something needs the header Authorization: a cookie is not enough, so no
//     other site can make a browser do it.
//
// It imports package pipeline and the kernel.
package azure
