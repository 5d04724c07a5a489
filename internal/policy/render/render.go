package render

import (
	"cmp"
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/policy/rule"
)

// File is a file with its path: in a Chart relative to the chart's folder, elsewhere from
// the root of the repository.
type File struct {
	Name string
	Data []byte
}

// Chart is what is rendered: the files of a chart and the circumstances of one target.
type Chart struct {
	Files     []File // the chart, at least Chart.yaml; subcharts in charts/, as folders or archives
	Base      string // folder of the chart in the repository, "charts/shop"; "" for its root
	Release   string // name of the Helm release
	Namespace string
	Values    []File   // values files with their paths in the repository, later ones win
	Set       []string // "key=value" as in `helm --set`, after Values
	// From are values that stand below Values, of the release before: `--reuse-values`.
	From map[string]any
	// Reuse are the values of the release that runs now. They give the values that only a
	// run knows: those of Set that hold a macro, "web.digest=$(webDigest)".
	Reuse       map[string]any
	KubeVersion string   // "v1.36.2"; "" takes the newest that is known
	APIVersions []string // beyond those of KubeVersion, "monitoring.coreos.com/v1"
	Limits      Limits   // zero fields take those of DefaultLimits
}

// Limits bound a rendering.
type Limits struct {
	Time  time.Duration // of one rendering
	Bytes int64         // of everything that templates write
	Steps int64         // of loops and inclusions
	Files int           // of a chart, subcharts included
	Input int64         // bytes of all files and values
	Depth int           // of nested objects
	Count int           // of objects
}

// DefaultLimits are generous for charts that people write: 20 s, 32 MiB of output,
// 200,000 steps, 2,000 files, 16 MiB of input, 64 levels and 5,000 objects.
func DefaultLimits() Limits {
	return Limits{Time: 20 * time.Second, Bytes: 32 << 20, Steps: 200_000, Files: 2000, Input: 16 << 20, Depth: 64, Count: 5000}
}

// Place is a line of the repository.
type Place struct {
	File string // path from the repository's root
	Line int    // from 1
}

// Object is one object that would be applied.
type Object struct {
	Data      map[string]any
	Kind      schema.GroupVersionKind
	Resource  string // "deployments", guessed for kinds that Kubernetes does not ship
	Namespace string // "" for objects of the cluster
	Name      string
	// Source is where the object begins: the template, or the manifest.
	Source Place
	// Hook is the Helm hooks of the object, "pre-install,pre-upgrade"; "" for none.
	Hook string

	origin *origin
}

// Result is what a chart or a list of manifests makes.
type Result struct {
	Objects []Object
	// Unknown are the keys of values that only a run knows and that were filled with a
	// stand-in, because there is no running release to take them from.
	Unknown []string
	// Warnings are sentences for people: what was left out or assumed.
	Warnings []string
}

// StandInDigest is the digest that stands for one which only a run knows. No image has it.
const StandInDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// StandIn is the text that stands for any other value which only a run knows.
const StandIn = "known-at-run-time"

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	l.Time, l.Bytes, l.Steps = cmp.Or(l.Time, d.Time), cmp.Or(l.Bytes, d.Bytes), cmp.Or(l.Steps, d.Steps)
	l.Files, l.Input, l.Depth, l.Count = cmp.Or(l.Files, d.Files), cmp.Or(l.Input, d.Input), cmp.Or(l.Depth, d.Depth), cmp.Or(l.Count, d.Count)
	return l
}

// input refuses more files than are allowed.
func (l Limits) input(lists ...[]File) error {
	n, size := 0, int64(0)
	for _, files := range lists {
		for _, f := range files {
			n++
			size += int64(len(f.Data))
		}
	}
	switch {
	case n > l.Files:
		return fault.New(fault.TooLarge, "There are %d files to render; the most is %d.", n, l.Files)
	case size > l.Input:
		return fault.New(fault.TooLarge, "The files to render are %d MiB; the most is %d MiB.", size>>20, l.Input>>20)
	}
	return nil
}

// Render renders a chart as Helm would install it: subcharts, library charts, hooks and
// custom resource definitions included; notes and test hooks left out. Every fault is
// fault.Invalid or fault.TooLarge and names file and line where they are known.
func Render(ctx context.Context, c Chart) (Result, error) {
	return c.render(ctx)
}

// Manifests reads plain YAML files: streams of documents, lists unfolded. namespace is
// that of objects which name none.
func Manifests(ctx context.Context, files []File, namespace string, l Limits) (Result, error) {
	return manifests(ctx, files, namespace, l)
}

// Lines finds the line of a path in the object, in the grammar of rule.Violation. What is
// missing in the object stands where its nearest parent does. It is what
// policy.Source.Lines asks for.
func (o *Object) Lines(path string) (file string, line int) {
	p := o.Places(path)[0]
	return p.File, p.Line
}

// Places finds the places of a path in the object, the most telling first: the values
// file, when the value comes from one, then the template. There is at least one.
func (o *Object) Places(path string) []Place {
	return o.places(path)
}

// Review is the object as a rule judges it, at rest in a place. The namespace of the place
// is the object's own.
func (o *Object) Review(p rule.Place) rule.Review {
	p.Namespace = o.Namespace
	return rule.Review{Object: o.Data, Kind: o.Kind, Resource: o.Resource, Name: o.Name, Place: p}
}
