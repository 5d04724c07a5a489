package render

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kyaml "sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// document is one document of a stream.
type document struct {
	text string
	line int // of its first line in the stream, from 1
}

// split splits a stream at the lines that begin with "---", as Helm does.
func split(stream string) []document {
	var out []document
	var text strings.Builder
	first, n := 1, 0
	flush := func() {
		if strings.TrimSpace(text.String()) != "" {
			out = append(out, document{text.String(), first})
		}
		text.Reset()
	}
	for line := range strings.SplitAfterSeq(stream, "\n") {
		n++
		rest, separates := strings.CutPrefix(line, "---")
		if separates && (rest == "" || isSpace(rest[0])) {
			flush()
			first = n
			line = "   " + rest // What stands on the line belongs to the next document.
			if strings.HasPrefix(strings.TrimSpace(rest), "#") || strings.TrimSpace(rest) == "" {
				line = rest[len(strings.TrimRight(rest, "\r\n")):]
			}
		}
		text.WriteString(line)
	}
	flush()
	return out
}

// source is a stream of documents on its way to be objects.
type source struct {
	file      string // of the repository
	text      string
	lines     *lined // nil when a line of the text is a line of the file
	namespace string
	limits    Limits
}

// lined is the second rendering of a template, with its marks taken out and kept.
type lined struct {
	docs   []document
	found  [][]found
	marks  *marks
	values *valueFiles
}

// objects reads the objects of a stream.
func (s *source) objects(out *Result) error {
	docs := split(s.text)
	for i, d := range docs {
		var data any
		if err := kyaml.Unmarshal([]byte(d.text), &data); err != nil {
			return s.unreadable(i, d, err)
		}
		if data == nil {
			continue
		}
		object, ok := data.(map[string]any)
		if !ok {
			return s.bad(i, d, "is no object of Kubernetes")
		}
		if depth(object, s.limits.Depth) < 0 {
			return s.bad(i, d, fmt.Sprintf("is nested more than %d levels deep", s.limits.Depth))
		}
		if err := s.unfold(object, s.origin(i, d, len(docs)), i, d, 0, out); err != nil {
			return err
		}
	}
	return nil
}

// unfold adds an object, or those of a list.
func (s *source) unfold(object map[string]any, o *origin, i int, d document, level int, out *Result) error {
	if items, ok := object["items"].([]any); ok && strings.HasSuffix(textOf(object["kind"]), "List") && level < 3 {
		for n, item := range items {
			one, ok := item.(map[string]any)
			if !ok {
				return s.bad(i, d, fmt.Sprintf("is a list whose item %d is no object", n))
			}
			if err := s.unfold(one, o.below("items", n), i, d, level+1, out); err != nil {
				return err
			}
		}
		return nil
	}
	if len(out.Objects) == s.limits.Count {
		return fault.New(fault.TooLarge, "There are more than %d objects.", s.limits.Count)
	}
	obj := Object{Data: object, Kind: schema.FromAPIVersionAndKind(textOf(object["apiVersion"]), textOf(object["kind"])), origin: o}
	if obj.Kind.Kind == "" || obj.Kind.Version == "" {
		return s.bad(i, d, "has no apiVersion or kind")
	}
	md, _ := object["metadata"].(map[string]any)
	obj.Name, obj.Namespace = textOf(md["name"]), textOf(md["namespace"])
	if obj.Name == "" {
		obj.Name = textOf(md["generateName"])
	}
	switch {
	case ofCluster(obj.Kind.GroupKind()):
		obj.Namespace = ""
	case obj.Namespace == "":
		obj.Namespace = s.namespace
	}
	plural, _ := meta.UnsafeGuessKindToResource(obj.Kind)
	obj.Resource = plural.Resource
	notes, _ := md["annotations"].(map[string]any)
	if obj.Hook = textOf(notes["helm.sh/hook"]); onlyTest(obj.Hook) {
		return nil
	}
	obj.Source = o.places("")[0]
	out.Objects = append(out.Objects, obj)
	return nil
}

// bad is the fault for a document that is no object.
func (s *source) bad(i int, d document, what string) error {
	p := s.origin(i, d, -1).places("")[0]
	return fault.New(fault.Invalid, "%s:%d: document %d %s.", p.File, p.Line, i+1, strings.TrimSuffix(what, ".")).
		WithNext("see what is rendered with: helm template")
}

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors: *)?(?:line (\d+): *)?`)

// unreadable is the fault for a document that is no YAML, at the line that the parser
// names.
func (s *source) unreadable(i int, d document, err error) error {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\n", " "), "error converting YAML to JSON: ")
	m := yamlLine.FindStringSubmatch(text)
	if m == nil || m[1] == "" {
		return s.bad(i, d, "is no valid YAML: "+text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		n = 1
	}
	o := s.origin(i, d, -1)
	p := o.places("")[0]
	if o.lines == nil {
		p.Line = d.line - 1 + n
	} else if o.lines.marks != nil {
		if id, ok := o.mark(&yaml.Node{Line: n, Column: 1}); ok {
			p = Place{File: o.lines.marks.list[id].file, Line: o.lines.marks.list[id].line}
		}
	}
	return fault.New(fault.Invalid, "%s:%d: document %d is no valid YAML: %s.", p.File, p.Line, i+1, strings.TrimSuffix(text[len(m[0]):], ".")).
		WithNext("see what is rendered with: helm template")
}

// textOf is a value that is a text.
func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// onlyTest reports whether an object runs in `helm test` alone, which no pipeline does.
func onlyTest(hook string) bool {
	if hook == "" {
		return false
	}
	for h := range strings.SplitSeq(hook, ",") {
		switch strings.TrimSpace(h) {
		case "test", "test-success", "test-failure":
		default:
			return false
		}
	}
	return true
}

// depth is how deep a value is nested, -1 when that is deeper than most.
func depth(v any, most int) int {
	if most < 0 {
		return -1
	}
	deepest := 0
	visit := func(child any) bool {
		n := depth(child, most-1)
		deepest = max(deepest, n+1)
		return n >= 0
	}
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			if !visit(child) {
				return -1
			}
		}
	case []any:
		for _, child := range v {
			if !visit(child) {
				return -1
			}
		}
	}
	return deepest
}

// ofCluster reports whether a kind that Kubernetes ships has no namespace. Others have
// one, as far as anybody knows without asking the cluster.
func ofCluster(k schema.GroupKind) bool {
	switch k.String() {
	case "Namespace", "Node", "PersistentVolume", "ComponentStatus",
		"ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io",
		"CustomResourceDefinition.apiextensions.k8s.io", "APIService.apiregistration.k8s.io",
		"StorageClass.storage.k8s.io", "CSIDriver.storage.k8s.io", "CSINode.storage.k8s.io", "VolumeAttachment.storage.k8s.io",
		"VolumeAttributesClass.storage.k8s.io", "IngressClass.networking.k8s.io", "IPAddress.networking.k8s.io", "ServiceCIDR.networking.k8s.io",
		"PriorityClass.scheduling.k8s.io", "RuntimeClass.node.k8s.io", "CertificateSigningRequest.certificates.k8s.io",
		"ClusterTrustBundle.certificates.k8s.io", "DeviceClass.resource.k8s.io", "ResourceSlice.resource.k8s.io",
		"ValidatingWebhookConfiguration.admissionregistration.k8s.io", "MutatingWebhookConfiguration.admissionregistration.k8s.io",
		"ValidatingAdmissionPolicy.admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io",
		"MutatingAdmissionPolicy.admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding.admissionregistration.k8s.io",
		"FlowSchema.flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io":
		return true
	}
	return false
}

// manifests is Manifests.
func manifests(ctx context.Context, files []File, namespace string, l Limits) (Result, error) {
	l = l.orDefault()
	var out Result
	if err := l.input(files); err != nil {
		return out, err
	}
	for _, f := range files {
		if ctx.Err() != nil {
			return out, fault.Wrap(fault.TooLarge, ctx.Err(), "The manifests take too long to read.")
		}
		s := source{file: f.Name, text: strings.TrimPrefix(string(f.Data), "\ufeff"), namespace: namespace, limits: l}
		if err := s.objects(&out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// objects reads what a chart rendered. Definitions of custom resources come first, as
// Helm installs them first.
func (c Chart) objects(clean, marked *rendered, user userValues, out *Result) error {
	for _, crd := range clean.crds {
		file, _ := place(crd.Filename, clean.dirs)
		s := source{file: file, text: string(crd.File.Data), namespace: c.Namespace, limits: c.Limits}
		if err := s.objects(out); err != nil {
			return err
		}
	}
	var values *valueFiles
	if marked != nil {
		values = c.valueFiles(user)
	}
	for _, name := range slices.Sorted(maps.Keys(clean.files)) {
		if strings.HasSuffix(name, "NOTES.txt") || strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		file, _ := place(name, clean.dirs)
		s := source{file: file, text: clean.files[name], namespace: c.Namespace, limits: c.Limits, lines: &lined{}}
		if marked != nil {
			text, found := strip(marked.files[name])
			s.lines = &lined{docs: split(text), found: found, marks: marked.marks, values: values}
		}
		if err := s.objects(out); err != nil {
			return err
		}
	}
	return nil
}

// origin is where the document i comes from; n is how many there are, -1 when it cannot be
// read.
func (s *source) origin(i int, d document, n int) *origin {
	o := &origin{file: s.file, first: d.line, lines: s.lines}
	text := d.text
	switch {
	case s.lines == nil:
	case i < len(s.lines.docs) && (n < 0 || n == len(s.lines.docs)):
		text, o.first = s.lines.docs[i].text, s.lines.docs[i].line
	default:
		o.lines, o.first, text = nil, 1, "" // The renderings differ: the file is all that is known.
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err == nil && len(doc.Content) == 1 {
		o.root = doc.Content[0]
	}
	return o
}
