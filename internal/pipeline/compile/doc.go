// Package compile runs the four compiler libraries one after the other: parse,
// expand, validate and plan. It is what the server, the command line and a
// language server call; each of the four can also be used alone.
//
//   - [Compile] takes the path of a pipeline file and a loader, and returns the
//     plan together with everything that was found.
//   - [Expand] stops after expansion and returns the YAML that would be planned.
//
// A plan is returned only when there is no error, so a run is either started as
// a whole or not at all.
package compile
