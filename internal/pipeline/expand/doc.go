// Package expand is the second of the four compiler libraries (parse, expand,
// validate, plan): it evaluates everything that "${{ }}" can say and follows
// template references, so that what remains is plain YAML.
//
// # What it does
//
//   - [Expand] takes the tree of a pipeline file and returns the same tree
//     without "${{ }}", "template:" and "extends:". Every node keeps the place
//     where it was written, be it in the pipeline or in a template; text that an
//     expression made has the place of the expression.
//   - Parameters get their types and defaults, and values from the queue or from
//     the including file (T004 to T007).
//   - The directives if, elseif, else, each and insert work on mappings and on
//     sequences (T008 to T010, T012), and an expression that stands alone keeps
//     the type of its value (T014).
//   - Static variables can be read as they become known: those of the root, then
//     of the stage, then of the job, and of variable templates (T015, X046).
//
// # Boundaries
//
// The package knows where templates may stand, and nothing else of the schema:
// whether a key exists is a question for validate. It reads no files itself;
// the caller supplies a [Loader], which decides about repositories and rights.
//
// # Invariants
//
// What an expression produced is never expanded again, so a parameter value
// cannot smuggle in an expression. The work is bounded: files, nesting, the size
// of the result, the steps that loops take and the bytes that expressions look at (X009). Text in a branch that is
// not taken must parse, but need not evaluate (T011).
package expand
