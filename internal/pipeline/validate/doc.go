// Package validate is the third of the four compiler libraries (parse, expand,
// validate, plan): it decides whether an expanded tree is a pipeline, before
// anything of it runs.
//
// # What it checks
//
//   - Shape: every key is known, stands where it may stand, and has a value of
//     the right form; what must be the first key is the first key (X002). The
//     table is the published schema (schema.json, see [Schema]), with the rules that
//     it leaves open in rules.go; the rows Y001 to Y284.
//   - Names: reference names are well formed and unique (X008), dependencies
//     exist and have no cycle (T016).
//   - Expressions: conditions and runtime expressions parse, and use only the
//     names and functions of their place (X041, X043, X044).
//   - Tasks: the task exists in the [Catalog], its inputs are known and the
//     required ones are there (X003, K005).
//   - Abilities: what the schema knows and this installation cannot do is named,
//     as an error where ignoring it would do the wrong thing and as a warning
//     where it only has no effect. Nothing is ignored silently.
//
// Every finding says where it is, what is wrong, and what to do next, with a
// suggestion where a name is close to a known one. All findings of a file are
// reported in one go.
//
// The package decides; it changes nothing. It imports expr and parse, and
// nothing else of Towpath.
package validate
