// Package gallery keeps the tasks that people add beside those that are built in: folders
// with a task.json, as the marketplace has them (K001 to K006).
//
// Its nouns: a Package is what was sent (the zip of a folder, or a .vsix with several
// tasks), taken apart and judged before anything of it is kept; a Task is one that is kept,
// for one project or for the whole installation; a Manifest is what the compiler and the
// agent need of a task.json; a Catalog is what the pipelines of a project may use.
//
// Invariants: what is kept never changes, a version is added once; a task cannot take the
// name of one that is built in, nor that of another task; the files of a task lie below its
// folder and are plain files; every change is in the logbook. The package never runs a task.
//
// It must not import the pipeline service, which asks it for catalogs.
package gallery
