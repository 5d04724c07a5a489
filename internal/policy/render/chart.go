package render

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// newest is the Kubernetes version of charts that are rendered for none.
const newest = "v1.36.2"

// render is Render.
func (c Chart) render(ctx context.Context) (Result, error) {
	c.Limits = c.Limits.orDefault()
	if err := c.Limits.input(c.Files, c.Values); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Limits.Time)
	defer cancel()
	var out Result
	user, err := c.userValues(&out)
	if err != nil {
		return out, err
	}
	clean, err := c.rendering(ctx, user, false, &out)
	if err != nil {
		return out, err
	}
	// What the second rendering says is used for lines alone: when it fails, there are none.
	var ignored Result
	lined, err := c.rendering(ctx, user, true, &ignored)
	if err != nil {
		lined = nil
		out.Warnings = append(out.Warnings, "The lines of the templates could not be found: "+firstLine(err.Error())+".")
	}
	err = c.objects(clean, lined, user, &out)
	return out, err
}

// rendered is one rendering of a chart.
type rendered struct {
	files map[string]string // by the path that Helm gives a template
	crds  []chart.CRD
	dirs  map[string]string // folder in the repository of each chart, by the path that Helm gives it
	marks *marks            // nil: none
}

// rendering renders the chart once.
func (c Chart) rendering(ctx context.Context, user userValues, marking bool, out *Result) (*rendered, error) {
	ch, err := c.load()
	if err != nil {
		return nil, err
	}
	values := deepCopy(user.all)
	if err := chartutil.ProcessDependencies(ch, values); err != nil {
		return nil, c.broken(err, nil)
	}
	caps, err := c.capabilities(ch)
	if err != nil {
		return nil, err
	}
	top, err := c.checkedValues(ch, values, caps, len(user.standIns) > 0, out)
	if err != nil {
		return nil, err
	}
	r := &rendered{crds: ch.CRDObjects(), dirs: map[string]string{}}
	g := &guard{ctx: ctx, left: c.Limits, sees: map[int][]valuePath{}}
	if marking {
		r.marks = newMarks()
		g.marks, g.values = r.marks, identify(top["Values"])
	}
	c.instrument(ch, c.Base, c.Files, r)
	done := make(chan error, 1)
	go func() { // Helm's engine takes no context; the guard ends it soon after ours does.
		var err error
		r.files, err = engine.Engine{CustomTemplateFuncs: g.funcs()}.Render(ch, top)
		done <- err
	}()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errLate
	}
	if err != nil {
		return nil, c.broken(err, r.dirs)
	}
	return r, nil
}

// load reads the chart anew: rendering changes it.
func (c Chart) load() (*chart.Chart, error) {
	files := make([]*archive.BufferedFile, len(c.Files))
	for i, f := range c.Files {
		files[i] = &archive.BufferedFile{Name: f.Name, Data: bytes.TrimPrefix(f.Data, []byte("\ufeff"))}
	}
	ch, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The chart %s cannot be read: %s.", c.name(), strings.TrimSuffix(err.Error(), ".")).
			WithNext("check it with `helm lint`")
	}
	if ch.Metadata.Type == "library" {
		return nil, fault.New(fault.Invalid, "The chart %s is a library: nothing of it can be installed.", c.name())
	}
	var missing []string
	for _, dep := range ch.Metadata.Dependencies {
		if !slices.ContainsFunc(ch.Dependencies(), func(d *chart.Chart) bool { return d.Name() == dep.Name }) {
			missing = append(missing, dep.Name)
		}
	}
	if len(missing) > 0 {
		return nil, fault.New(fault.Invalid, "The chart %s depends on %s, which is not in its folder charts.", c.name(), strings.Join(missing, ", ")).
			WithNext("run `helm dependency build` and commit the folder charts")
	}
	return ch, nil
}

func (c Chart) name() string {
	if c.Base == "" {
		return "of the repository's root"
	}
	return c.Base
}

// capabilities are what templates see of the cluster.
func (c Chart) capabilities(ch *chart.Chart) (*common.Capabilities, error) {
	text := c.KubeVersion
	if text == "" {
		text = newest
	}
	version, err := common.ParseKubeVersion(text)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "%q is no version of Kubernetes.", text).WithNext("write it as v1.36.2")
	}
	if want := ch.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, version.String()) {
		return nil, fault.New(fault.Invalid, "The chart %s demands Kubernetes %s; the target has %s.", c.name(), want, version.Version)
	}
	caps := common.DefaultCapabilities.Copy()
	caps.KubeVersion = *version
	caps.APIVersions = append(slices.Clone(caps.APIVersions), c.APIVersions...)
	return caps, nil
}

// checkedValues are the values as templates see them, checked against the schemas of the
// charts, as far as these need no network.
func (c Chart) checkedValues(ch *chart.Chart, values map[string]any, caps *common.Capabilities, standIns bool, out *Result) (common.Values, error) {
	options := common.ReleaseOptions{Name: c.Release, Namespace: c.Namespace, Revision: 1, IsInstall: true}
	if options.Name == "" {
		options.Name = ch.Name()
	}
	skip := !closed(ch)
	if skip {
		out.Warnings = append(out.Warnings, "The values were not checked against the chart's schema, because it refers to other documents.")
	}
	top, err := commonutil.ToRenderValuesWithSchemaValidation(ch, values, options, caps, skip)
	if err != nil && !skip && standIns {
		out.Warnings = append(out.Warnings, "The values do not meet the chart's schema; some are known at run time alone.")
		top, err = commonutil.ToRenderValuesWithSchemaValidation(ch, values, options, caps, true)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The values of the chart %s are not valid: %s", c.name(), strings.TrimSpace(err.Error()))
	}
	return top, nil
}

// closed reports whether the schemas of a chart refer to themselves alone: Helm would
// fetch anything else from the network or the disk.
func closed(ch *chart.Chart) bool {
	if len(ch.Schema) > 0 {
		var doc any
		if json.Unmarshal(ch.Schema, &doc) == nil && !closedSchema(doc, 0) {
			return false
		}
	}
	return !slices.ContainsFunc(ch.Dependencies(), func(d *chart.Chart) bool { return !closed(d) })
}

var draft = regexp.MustCompile(`^https?://json-schema\.org/(draft-0[4-7]|draft/20[0-9]{2}-[0-9]{2})/schema#?$`)

func closedSchema(v any, depth int) bool {
	if depth > 200 {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			s, text := child.(string)
			switch {
			case text && (k == "$ref" || k == "$dynamicRef" || k == "$recursiveRef") && !strings.HasPrefix(s, "#"):
				return false
			case text && k == "$schema" && !draft.MatchString(s):
				return false
			case !closedSchema(child, depth+1):
				return false
			}
		}
	case []any:
		for _, child := range v {
			if !closedSchema(child, depth+1) {
				return false
			}
		}
	}
	return true
}

// instrument writes the calls of our functions into the templates of a chart and of those
// below it, and notes where each lies. base is its folder, files are those below it.
func (c Chart) instrument(ch *chart.Chart, base string, files []File, r *rendered) {
	r.dirs[ch.ChartFullPath()] = base
	for _, t := range ch.Templates {
		in := &instrument{src: string(t.Data), file: path.Join(base, t.Name), text: true}
		// A text that holds our marks already is left without: nothing in it is found then.
		if !marked(in.src) {
			in.marks = r.marks
		}
		t.Data = []byte(in.run())
	}
	folders := subcharts(files)
	for _, dep := range ch.Dependencies() {
		name := dep.Name()
		for _, d := range ch.Metadata.Dependencies {
			if d.Alias == name && folders[name].dir == "" {
				name = d.Name
			}
		}
		sub, ok := folders[name]
		if !ok {
			sub.dir = "charts/" + name // An archive whose name says nothing of its chart.
		}
		c.instrument(dep, path.Join(base, sub.dir), sub.files, r)
	}
}

// subchart is a chart in the folder charts of another.
type subchart struct {
	dir   string // "charts/redis", or the archive
	files []File // relative to dir; none of an archive
}

// subcharts finds the charts in the folder charts by their names.
func subcharts(files []File) map[string]subchart {
	byDir := map[string][]File{}
	out := map[string]subchart{}
	for _, f := range files {
		rest, ok := strings.CutPrefix(f.Name, "charts/")
		if !ok {
			continue
		}
		dir, name, folder := strings.Cut(rest, "/")
		if folder {
			byDir[dir] = append(byDir[dir], File{Name: name, Data: f.Data})
		} else if ch, err := loader.LoadArchive(bytes.NewReader(f.Data)); err == nil {
			out[ch.Name()] = subchart{dir: "charts/" + dir}
		}
	}
	for dir, list := range byDir {
		for _, f := range list {
			var meta chart.Metadata
			if f.Name == "Chart.yaml" && yaml.Unmarshal(f.Data, &meta) == nil && meta.Name != "" {
				out[meta.Name] = subchart{dir: "charts/" + dir, files: list}
			}
		}
	}
	return out
}

// place is a file of the repository from the path that Helm gives it.
func place(helm string, dirs map[string]string) (string, bool) {
	best := ""
	for chart := range dirs {
		if strings.HasPrefix(helm, chart+"/") && len(chart) > len(best) {
			best = chart
		}
	}
	if best == "" {
		return helm, false
	}
	return path.Join(dirs[best], strings.TrimPrefix(helm, best+"/")), true
}

var (
	located  = regexp.MustCompile(`([A-Za-z0-9_./-]+):(\d+)(:\d+)?`)
	ourWords = regexp.MustCompile(`\{?\{?\(?` + `towpath_\w+( \d+)?\)?(\}\})?`)
)

// broken is the fault for a chart that does not render; it names the innermost file and
// line of the repository.
func (c Chart) broken(err error, dirs map[string]string) error {
	text := err.Error()
	where := ""
	for _, m := range located.FindAllStringSubmatch(text, -1) {
		if file, ok := place(m[1], dirs); ok {
			line, _ := strconv.Atoi(m[2])
			where = fmt.Sprintf("%s:%d: ", file, line)
		}
	}
	for _, limit := range []error{errTooMuch, errLate} {
		if i := strings.Index(text, limit.Error()); i >= 0 {
			return fault.Wrap(fault.TooLarge, err, "The chart %s does not render: %s%s", c.name(), where, firstLine(text[i:])).WithNext("let the templates do less")
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if _, rest, ok := strings.Cut(last, "): "); ok && where != "" {
		last = rest // "parse error at (shop/templates/a.yaml:3): …"
	}
	last = strings.TrimSpace(ourWords.ReplaceAllString(last, ""))
	return fault.Wrap(fault.Invalid, err, "The chart %s does not render: %s%s", c.name(), where, last).
		WithNext("check it with: towpath policy test --resources %s", c.Base)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
