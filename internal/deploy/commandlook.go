package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/jsonpath"
	"k8s.io/kubectl/pkg/describe"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

// maxSaid bounds what a command prints, in bytes.
const maxSaid = 4 << 20

// kubectlLook carries out what changes nothing.
func (s *Service) kubectlLook(ctx context.Context, c Command, say Say) (string, error) {
	at, err := s.peek(ctx, c.Target)
	if err != nil {
		return "", err
	}
	switch c.Call.Verb {
	case "version":
		v, err := at.discovery.ServerVersion()
		if err != nil {
			return "", fmt.Errorf("asking the cluster for its version: %w", err)
		}
		return "Server Version: " + v.GitVersion + "\n", nil
	case "get":
		return at.list(ctx, c)
	case "describe":
		return at.describe(ctx, c)
	case "logs":
		return at.logs(ctx, c)
	case "exec":
		return at.exec(ctx, c, say)
	case "top":
		return at.top(ctx, c)
	case "wait":
		return at.wait(ctx, c, say)
	}
	if c.Call.Sub == "history" {
		return at.history(ctx, c)
	}
	return at.status(ctx, c, say)
}

// list is get: a table as the API server makes it, or the objects.
func (r *lookup) list(ctx context.Context, c Command) (string, error) {
	kind, named, err := c.Call.Targets()
	if err != nil {
		return "", err
	}
	if kind != "" {
		for k := range strings.SplitSeq(kind, ",") {
			named = append(named, manifest.Named{Kind: k})
		}
	}
	format, expression, _ := strings.Cut(c.Call.Option("output"), "=")
	var out strings.Builder
	var objects []map[string]any
	for _, o := range named {
		options := metav1.ListOptions{LabelSelector: c.Call.Option("selector"), FieldSelector: c.Call.Option("field-selector")}
		switch format {
		case "", "none", "wide":
			if err := r.table(ctx, &out, c, o, options); err != nil {
				return "", err
			}
			continue
		}
		if o.Name == "" {
			more, err := r.all(ctx, o.Kind, options)
			if err != nil {
				return "", err
			}
			objects = append(objects, more...)
			continue
		}
		one, err := r.read(ctx, o)
		if fault.Is(err, fault.NotFound) && c.Call.Flag("ignore-not-found", false) {
			continue
		}
		if err != nil {
			return "", err
		}
		objects = append(objects, one)
	}
	if out.Len() > 0 || format == "" || format == "none" || format == "wide" {
		return out.String(), nil
	}
	return formatted(format, expression, objects, len(named) == 1 && named[0].Name != "")
}

// formatted is what get prints in a format for programs; one says that it is one object and
// no list.
func formatted(format, expression string, objects []map[string]any, one bool) (string, error) {
	for i, o := range objects {
		objects[i] = hidden(o)
	}
	if format == "name" {
		return printed("name", objects, "")
	}
	var all any
	if one {
		if len(objects) == 0 {
			return "", nil
		}
		all = objects[0]
	} else {
		items := make([]any, len(objects))
		for i, o := range objects {
			items[i] = o
		}
		all = map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]any{"resourceVersion": ""}, "items": items}
	}
	switch format {
	case "yaml":
		text, err := yaml.Marshal(all)
		return string(text), err
	case "json":
		text, err := json.MarshalIndent(all, "", "    ")
		return string(text) + "\n", err
	case "jsonpath":
		path := jsonpath.New("output").AllowMissingKeys(true)
		if err := path.Parse(expression); err != nil {
			return "", fault.Wrap(fault.Invalid, err, "The jsonpath %s cannot be read: %v.", expression, err)
		}
		var text bytes.Buffer
		if err := path.Execute(&text, all); err != nil {
			return "", fault.Wrap(fault.Invalid, err, "The jsonpath %s finds nothing: %v.", expression, err)
		}
		return text.String(), nil
	}
	return "", fault.New(fault.Invalid, "The output format %q of kubectl get is none that Kubernetes@1 has here.", format).WithNext("use json, yaml, name, wide or jsonpath=EXPRESSION")
}

// hidden is an object as it may be said: what a Secret holds is not, nor what applied it.
func hidden(o map[string]any) map[string]any {
	if kindOf(o) != "Secret" {
		return o
	}
	o = maps.Clone(o)
	for _, key := range []string{"data", "stringData"} {
		if data := mapOf(o, key); data != nil {
			data = maps.Clone(data)
			for k := range data {
				data[k] = "***"
			}
			o[key] = data
		}
	}
	meta := maps.Clone(mapOf(o, "metadata"))
	delete(meta, "annotations") // the last applied configuration has the values too
	delete(meta, "managedFields")
	o["metadata"] = meta
	return o
}

// table asks the API server for the columns that kubectl shows.
func (r *lookup) table(ctx context.Context, out io.Writer, c Command, o manifest.Named, options metav1.ListOptions) error {
	probe := o
	if probe.Name == "" {
		probe.Name = "-"
	}
	_, at, err := r.named(probe)
	if err != nil {
		return err
	}
	path := []string{"/apis", at.Group, at.Version, "namespaces", r.env.Namespace, at.Resource}
	if at.Group == "" {
		path = []string{"/api", at.Version, "namespaces", r.env.Namespace, at.Resource}
	}
	if o.Name != "" {
		path = append(path, o.Name)
	}
	raw, err := r.discovery.RESTClient().Get().AbsPath(path...).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").
		Param("labelSelector", options.LabelSelector).Param("fieldSelector", options.FieldSelector).Do(ctx).Raw()
	if err != nil {
		if err = objectFault(err, "getting", o); fault.Is(err, fault.NotFound) && c.Call.Flag("ignore-not-found", false) {
			return nil
		}
		return err
	}
	var t metav1.Table
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("decoding the table of %s: %w", o.Kind, err)
	}
	return writeColumns(out, t, c)
}

func writeColumns(out io.Writer, t metav1.Table, c Command) error {
	if len(t.Rows) == 0 {
		_, err := io.WriteString(out, "No resources found\n")
		return err
	}
	w := tabwriter.NewWriter(out, 6, 4, 3, ' ', 0)
	shown := func(i int) bool { return t.ColumnDefinitions[i].Priority == 0 || c.Call.Option("output") == "wide" }
	var cells []string
	for i, d := range t.ColumnDefinitions {
		if shown(i) {
			cells = append(cells, strings.ToUpper(d.Name))
		}
	}
	labelled := c.Call.Flag("show-labels", false)
	if labelled {
		cells = append(cells, "LABELS")
	}
	if !c.Call.Flag("no-headers", false) {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	for _, row := range t.Rows {
		cells = nil
		for i, v := range row.Cells {
			if i < len(t.ColumnDefinitions) && shown(i) {
				cells = append(cells, fmt.Sprint(v))
			}
		}
		if labelled {
			var m metav1.PartialObjectMetadata
			_ = json.Unmarshal(row.Object.Raw, &m)
			cells = append(cells, metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: m.Labels}))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// describe says of objects what kubectl says.
func (r *lookup) describe(ctx context.Context, c Command) (string, error) {
	kind, list, err := c.Call.Targets()
	if err != nil {
		return "", err
	}
	if kind != "" {
		found, err := r.all(ctx, kind, metav1.ListOptions{LabelSelector: c.Call.Option("selector")})
		if err != nil {
			return "", err
		}
		for _, o := range found {
			list = append(list, namedAs(o))
		}
	}
	var out strings.Builder
	for i, o := range list {
		_, at, err := r.named(o)
		if err != nil {
			return "", err
		}
		gvk, err := r.mapper.KindFor(at)
		if err != nil {
			return "", fmt.Errorf("finding the kind %s: %w", o.Kind, err)
		}
		d, ok := describe.DescriberFor(gvk.GroupKind(), r.cfg)
		if !ok {
			m, err := r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
			if err != nil {
				return "", fmt.Errorf("finding the kind %s: %w", o.Kind, err)
			}
			if d, ok = describe.GenericDescriberFor(m, r.cfg); !ok {
				return "", fault.New(fault.Invalid, "%s cannot be described.", gvk.Kind).WithNext("use get -o yaml")
			}
		}
		text, err := d.Describe(r.env.Namespace, o.Name, describe.DescriberSettings{ShowEvents: c.Call.Flag("show-events", true), ChunkSize: 500})
		if err != nil {
			return "", objectFault(err, "describing", o)
		}
		if i > 0 {
			out.WriteString("\n\n")
		}
		if out.WriteString(text); out.Len() > maxSaid {
			return "", fault.New(fault.TooLarge, "That is more than %d MiB of text.", maxSaid>>20).WithNext("name fewer objects")
		}
	}
	return out.String(), nil
}

// top reads what pods or nodes use, where the cluster measures it.
func (r *lookup) top(ctx context.Context, c Command) (string, error) {
	if strings.HasPrefix(c.Call.Sub, "no") {
		return "", fault.New(fault.Denied, "Nodes are objects of the whole cluster: a run sees its environment's namespace only.").WithNext("use top pods, or towpath top")
	}
	raw, err := r.discovery.RESTClient().Get().AbsPath("/apis/metrics.k8s.io/v1beta1/namespaces", r.env.Namespace, "pods").
		Param("labelSelector", c.Call.Option("selector")).Do(ctx).Raw()
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "The cluster has no metrics API (metrics.k8s.io), which kubectl top reads.").
			WithNext("read the metrics of Towpath: towpath top, or towpath query")
	}
	var list struct {
		Items []struct {
			Metadata   metav1.ObjectMeta
			Containers []struct{ Usage map[string]string }
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("decoding metrics: %w", err)
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 6, 4, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tCPU\tMEMORY")
	for _, p := range list.Items {
		if len(c.Call.Args) > 0 && !slices.Contains(c.Call.Args, p.Metadata.Name) {
			continue
		}
		var cpu, memory []string
		for _, v := range p.Containers {
			cpu, memory = append(cpu, v.Usage["cpu"]), append(memory, v.Usage["memory"])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Metadata.Name, strings.Join(cpu, "+"), strings.Join(memory, "+"))
	}
	return out.String(), errors.Join(w.Flush())
}

// history lists the revisions of a Deployment.
func (r *lookup) history(ctx context.Context, c Command) (string, error) {
	_, list, err := c.Call.Targets()
	if err != nil || len(list) != 1 {
		return "", errors.Join(err, fault.New(fault.Invalid, "kubectl rollout history names one object.").WithNext("write deployment/NAME"))
	}
	o, err := r.read(ctx, list[0])
	if err != nil {
		return "", err
	}
	sets, err := r.all(ctx, "replicasets.apps", metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s/%s\nREVISION  CHANGE-CAUSE\n", strings.ToLower(kindOf(o)), nameOf(o))
	slices.SortFunc(sets, func(a, b map[string]any) int { return revisionOf(a) - revisionOf(b) })
	for _, set := range sets {
		for _, v := range listOf(mapOf(set, "metadata"), "ownerReferences") {
			if owner, _ := v.(map[string]any); owner["uid"] == mapOf(o, "metadata")["uid"] {
				cause, _ := mapOf(mapOf(set, "metadata"), "annotations")["kubernetes.io/change-cause"].(string)
				if cause == "" {
					cause = "<none>"
				}
				fmt.Fprintf(&out, "%-9d %s\n", revisionOf(set), cause)
			}
		}
	}
	return out.String(), nil
}

func revisionOf(o map[string]any) (n int) {
	text, _ := mapOf(mapOf(o, "metadata"), "annotations")[deploymentRevision].(string)
	_, _ = fmt.Sscan(text, &n)
	return n
}

// asObject turns an object into the type of the API that it is.
func asObject[T any](o map[string]any) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o, out); err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", kindOf(o), nameOf(o), err)
	}
	return out, nil
}
