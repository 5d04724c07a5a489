// Package plan is the last of the four compiler libraries (parse, expand,
// validate, plan): it turns an expanded tree into a normalised [Plan], and it
// decides, as a run goes on, what of a plan may happen next.
//
// # Nouns
//
// A [Plan] has stages, a [Stage] has jobs, a [Job] has steps or, as a
// deployment, hooks with steps. Short forms are gone: every step names a task
// with inputs, every stage its dependencies, everything its condition. A plan
// is data: it is stored as JSON with the run, so that a run never depends on
// the compiler that made it.
//
// A [State] is what has happened so far, also data, kept by the caller.
//
// # Operations
//
//   - [Build] makes the plan from a validated tree.
//   - [Trigger.Matches], [PRTrigger.Matches], [SkipsCI] decide whether a push
//     starts a run, [RunName] what it is called.
//   - [Plan.Next] decides what to start, skip, cancel or finish; it is a pure
//     function of plan and state.
//   - [Plan.RootVariables], [Plan.StageVariables], [Plan.JobVariables],
//     [Plan.JobSettings] and [Plan.Legs] evaluate runtime expressions when the
//     run, a stage or a job starts.
//   - [StepRuns] decides about a step, in the agent.
//   - [Strategy.Next] walks through the hooks of a deployment, [Job.OutputName]
//     says under which name an output variable is found.
//
// # Invariants
//
// Names compare without regard to case, everywhere. Nothing here does input or
// output, reads a clock or keeps state between calls. The package imports expr
// and parse, and nothing else of Towpath.
package plan
