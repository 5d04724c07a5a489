package expand

import (
	"context"
	"errors"
	"io/fs"

	"towpath.dev/towpath/internal/pipeline/expr"
	"towpath.dev/towpath/internal/pipeline/parse"
)

// Ref names a file that a template reference points to.
type Ref struct {
	// Repository is the repository resource that the file is in; nil is the
	// repository of the pipeline itself, at the commit of the run.
	Repository *Repository
	// Path is relative to the root of the repository, clean, with slashes, and
	// never leaves the root.
	Path string
}

// Repository is an entry of "resources.repositories".
type Repository struct {
	Alias, Type, Name, Ref, Endpoint string
}

// Loader delivers the files that template references point to.
//
// Load returns the bytes of one file. It is called at most once for each Ref in
// one expansion, never concurrently. It must resolve a repository to the same
// commit every time (T003), and refuse what the pipeline may not read. An error
// that matches fs.ErrNotExist means that there is no such file; the text of any
// other error is shown to the user. It must return promptly when ctx ends.
type Loader interface {
	Load(ctx context.Context, ref Ref) ([]byte, error)
}

// LoaderFunc makes a Loader of a function.
type LoaderFunc func(ctx context.Context, ref Ref) ([]byte, error)

// Load calls the function.
func (f LoaderFunc) Load(ctx context.Context, ref Ref) ([]byte, error) { return f(ctx, ref) }

// NoTemplates is a Loader without files.
var NoTemplates Loader = LoaderFunc(func(context.Context, Ref) ([]byte, error) { return nil, fs.ErrNotExist })

// Limits bound an expansion. The zero Limits are the defaults.
type Limits struct {
	// Files is how many files a pipeline may consist of (X009).
	Files int
	// Nesting is how deep templates may include one another (X009).
	Nesting int
	// Bytes is the size of the result, counted over its values.
	Bytes int
	// Steps is how many items the loops of an expansion may visit in all.
	Steps int
	// Work is how many bytes the expressions of an expansion may look at in all.
	Work int
	// File bounds each file.
	File parse.Limits
}

// The default limits.
const (
	MaxFiles   = 100
	MaxNesting = 20
	MaxBytes   = 10 << 20
	MaxSteps   = 500_000
	MaxWork    = expr.MaxWork
)

func (l Limits) withDefaults() Limits {
	set := func(value *int, fallback int) {
		if *value == 0 {
			*value = fallback
		}
	}
	set(&l.Files, MaxFiles)
	set(&l.Nesting, MaxNesting)
	set(&l.Bytes, MaxBytes)
	set(&l.Steps, MaxSteps)
	set(&l.Work, MaxWork)
	return l
}

// Options are the inputs of an expansion beside the file.
type Options struct {
	// Loader delivers templates; nil stands for [NoTemplates].
	Loader Loader
	// Parameters are the values that somebody gave when starting the run, by
	// name. For parameters that are not scalars they are YAML text.
	Parameters map[string]string
	// Variables are the predefined variables that are known at compile time (the
	// rows marked T in the table of predefined variables), by name.
	Variables map[string]string
	// Payloads are what webhooks brought, by the alias of the resource, as JSON; expressions
	// see them as parameters (J007).
	Payloads map[string][]byte
	// Limits bound the work.
	Limits Limits
}

// Result is an expanded pipeline.
type Result struct {
	// Root is the tree without expressions, templates, "extends" and
	// "parameters".
	Root *parse.Node
	// Parameters are the declared parameters of the pipeline with their values.
	Parameters []Parameter
	// Files are the files that the pipeline was made of, in the order in which
	// they were read, the pipeline itself first. Files of other repositories are
	// written "path@alias".
	Files []string
	// Extends is the file that the root extends, written like Files, or "". The
	// required-template check asks for it.
	Extends string
}

// Expand expands the tree of the pipeline file at path (relative to the root of
// its repository). The result is nil only when there was nothing to expand; it
// must not be run when [parse.Diagnostics.Failed].
func Expand(ctx context.Context, path string, root *parse.Node, options Options) (*Result, parse.Diagnostics) {
	if options.Loader == nil {
		options.Loader = NoTemplates
	}
	x := &expander{
		ctx:       ctx,
		options:   options,
		limits:    options.Limits.withDefaults(),
		values:    map[*parse.Node]expr.Value{},
		templates: map[string]*parsed{},
		files:     map[string]source{},
		loaded:    map[string]*parse.Node{},
		sizes:     map[*parse.Node]int{},
	}
	if root == nil {
		return nil, x.found
	}
	if root.Kind != parse.Mapping {
		x.found.Errorf(root.Pos, "", "A pipeline is a mapping with one of the keys stages, jobs, steps or extends; found %s", root.Kind)
		return nil, x.found
	}
	src := source{path: path}
	x.addFile(src)
	x.checkSyntax(root)
	result := &Result{}
	result.Root = x.pipeline(root, src, result)
	result.Files = x.order
	if x.stopped {
		x.found = x.found[:x.meaningful]
	}
	x.found.Sort()
	return result, x.found
}

// expander holds the state of one expansion.
type expander struct {
	ctx          context.Context
	options      Options
	limits       Limits
	found        parse.Diagnostics
	repositories map[string]*Repository
	// values are the nodes that expressions have seen, so that the same node is
	// always the same array or object.
	values map[*parse.Node]expr.Value
	// templates are the parsed texts with expressions.
	templates map[string]*parsed
	// files are the files in use by display name, order their names in order.
	files map[string]source
	order []string
	// loaded are the parsed template files by display name.
	loaded map[string]*parse.Node
	// sizes are the sizes of the trees that expressions yielded.
	sizes map[*parse.Node]int
	// bytes and steps count towards the limits; stopped says that one was hit.
	bytes, steps int
	stopped      bool
	// meaningful is how many findings there were when the expansion stopped; the
	// ones after that only say that something is missing.
	meaningful int
}

// stop ends the expansion with one error.
func (x *expander) stop(pos parse.Pos, format string, args ...any) {
	if x.stopped {
		return
	}
	x.found.Errorf(pos, "X009", format, args...)
	x.stopped, x.meaningful = true, len(x.found)
}

// spend counts one step and some bytes of result, and reports whether the
// expansion may go on.
func (x *expander) spend(pos parse.Pos, bytes int) bool {
	x.steps++
	x.bytes += bytes
	switch {
	case x.stopped:
	case x.steps > x.limits.Steps:
		x.stop(pos, "The expansion takes more than %d steps; shorten the lists that 'each' goes through", x.limits.Steps)
	case x.bytes > x.limits.Bytes:
		x.stop(pos, "The expanded pipeline is larger than %d bytes", x.limits.Bytes)
	case x.steps%1024 == 0 && x.ctx.Err() != nil:
		x.stop(pos, "The expansion was interrupted: %v", context.Cause(x.ctx))
	}
	return !x.stopped
}

// fault reports an error of the expression language at a node.
func (x *expander) fault(n *parse.Node, err error) {
	pos := n.Pos
	var e *expr.Error
	if errors.As(err, &e) && e.Limit {
		x.stop(pos, "%s", e.Error())
		return
	}
	if e != nil {
		x.found.Errorf(pos, "X040", "%s%s", e.Error(), e.Hint())
		return
	}
	x.found.Errorf(pos, "X040", "%v", err)
}
