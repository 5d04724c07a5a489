package ingest

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// patience is how old a line of an unknown pod is when it is taken all the same. A pod's
// first lines may come before it is known whose it is; their sender is told to come again.
const patience = 5 * time.Second

// pods is a source whose rows come from the pods that they name: lines of ContainerLogV2.
type pods struct {
	service  *Service
	release  func(namespace, uid string) string // of a pod that is gone
	received time.Time
	columns  struct{ time, namespace, pod, container, meta int }

	// unknown holds the namespaces of rows whose pod may still become known.
	unknown map[string]bool
	uids    map[string]string   // by the metadata that the agent wrote
	found   map[podKey]*located // pods of this delivery
	meta    map[metaKey]string  // KubernetesMetadata by container
	last    struct {            // rows of a container follow each other
		key podKey
		at  *located
	}
}

type podKey struct{ namespace, pod, uid string }

type metaKey struct {
	podKey
	container string
}

// located is a pod of a delivery.
type located struct {
	place    place.Place
	known    bool
	resource string
}

// newPods returns a source for a batch.
func newPods(ctx context.Context, s *Service, b *table.Batch, received time.Time) (*pods, error) {
	release := func(namespace, uid string) string { return s.Owners.ReleaseOf(ctx, namespace, uid) }
	p := &pods{service: s, release: release, received: received, unknown: map[string]bool{}, uids: map[string]string{}, found: map[podKey]*located{}, meta: map[metaKey]string{}}
	for name, at := range map[string]*int{
		table.TimeGenerated: &p.columns.time, "PodNamespace": &p.columns.namespace, "PodName": &p.columns.pod,
		"ContainerName": &p.columns.container, "KubernetesMetadata": &p.columns.meta,
	} {
		if *at = b.Index(name); *at < 0 {
			return nil, fault.New(fault.Invalid, "The lines have no column %s.", name)
		}
	}
	return p, nil
}

func (p *pods) owner() string { return "" }

func (p *pods) find(b *table.Batch, row int) (*place.Place, string, string) {
	at := p.locate(b, row)
	if !at.known && p.young(b, row) {
		p.unknown[at.place.Namespace] = true
	}
	return &at.place, b.Vectors[p.columns.container].Text[row], at.resource
}

// young reports whether the row is so new that its pod may still become known, or the
// server itself.
func (p *pods) young(b *table.Batch, row int) bool {
	if o := p.service.Owners; o != nil && !o.Listed() {
		return true
	}
	age := p.received.Sub(table.TimeOf(b.Vectors[p.columns.time].Int[row]))
	return age < patience && age > -patience
}

func (p *pods) locate(b *table.Batch, row int) *located {
	text := func(column int) string { return b.Vectors[column].Text[row] }
	k := podKey{text(p.columns.namespace), text(p.columns.pod), p.uid(text(p.columns.meta))}
	if p.last.at != nil && p.last.key == k {
		return p.last.at
	}
	at, ok := p.found[k]
	if !ok {
		at = p.lookUp(k)
		p.found[k] = at
	}
	p.last.key, p.last.at = k, at
	return at
}

// lookUp asks for the pod, then for the owner of its namespace.
func (p *pods) lookUp(k podKey) *located {
	s := p.service
	at := &located{}
	if k.uid != "" {
		at.place, at.known = s.Places.ByUID(k.uid)
	} else {
		at.place, at.known = s.Places.ByName(k.namespace, k.pod)
	}
	if !at.known {
		at.place = place.Place{Cluster: s.Cluster, Namespace: k.namespace, Pod: k.pod, UID: k.uid}
		if s.Owners != nil {
			at.place.Project, at.place.Environment = s.Owners.NamespaceOwner(k.namespace)
		}
		at.place.Release = p.releaseOf(at.place)
	}
	at.resource = s.resource(at.place)
	return at
}

// releaseOf returns the release of a pod that nobody knows any more: it was deleted while the
// server was down, and its last lines were still to be read.
func (p *pods) releaseOf(at place.Place) string {
	if at.UID == "" || at.Environment == "" || !p.service.Owners.Listed() {
		return ""
	}
	if r := p.release(at.Namespace, at.UID); strings.HasPrefix(r, at.Project+"/"+at.Environment+"/") {
		return r
	}
	return ""
}

// maxMeta bounds the metadata that an agent writes for a line.
const maxMeta = 4 << 10

// uid reads the pod's uid out of what the agent wrote.
func (p *pods) uid(meta string) string {
	if uid, ok := p.uids[meta]; ok || len(meta) > maxMeta {
		return uid
	}
	var m struct {
		UID string `json:"podUid"`
	}
	// What is no JSON names no pod; then the names decide.
	if json.Unmarshal([]byte(meta), &m) != nil {
		m.UID = ""
	}
	p.uids[meta] = m.UID
	return m.UID
}

// complete replaces KubernetesMetadata by what the platform knows of each pod, in the
// words of the reference page "ContainerLogV2".
func (p *pods) complete(in *table.Batch) (*table.Batch, error) {
	b := &table.Batch{ID: in.ID, Table: in.Table, Columns: in.Columns, Vectors: append([]table.Vector(nil), in.Vectors...)}
	texts := make([]string, in.Rows())
	for row := range texts {
		at := p.locate(in, row)
		k := metaKey{p.last.key, in.Vectors[p.columns.container].Text[row]}
		text, ok := p.meta[k]
		if !ok {
			var err error
			if text, err = metadata(at.place, k.container); err != nil {
				return nil, err
			}
			p.meta[k] = text
		}
		texts[row] = text
	}
	b.Vectors[p.columns.meta] = table.Vector{Kind: table.Dynamic, Text: texts}
	return b, nil
}

// metadata writes the KubernetesMetadata of a container.
func metadata(p place.Place, container string) (string, error) {
	type document struct {
		Labels    map[string]string `json:"podLabels,omitempty"`
		UID       string            `json:"podUid,omitempty"`
		Image     string            `json:"image,omitempty"`
		ImageID   string            `json:"imageID,omitempty"`
		ImageRepo string            `json:"imageRepo,omitempty"`
		ImageTag  string            `json:"imageTag,omitempty"`
		Workload  string            `json:"workload,omitempty"` // ours
	}
	d := document{Labels: maps.Clone(p.Labels), UID: p.UID, Workload: p.Workload}
	for _, c := range p.Containers {
		if c.Name != container {
			continue
		}
		d.ImageID = c.Digest
		d.ImageRepo, d.Image, d.ImageTag = splitImage(c.Image)
	}
	text, err := json.Marshal(d)
	return string(text), err
}

// splitImage cuts the name of an image into the part up to the last path segment, that
// segment, and the tag: "localhost:7080/shop/web:1.2@sha256:…" is "localhost:7080/shop",
// "web" and "1.2".
func splitImage(name string) (repo, image, tag string) {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		repo, name = name[:i], name[i+1:]
	}
	image, tag, _ = strings.Cut(name, ":")
	return repo, image, tag
}

// hold refuses a delivery of pods that may still become known.
func (p *pods) hold() error {
	if len(p.unknown) == 0 {
		return nil
	}
	return fault.New(fault.Unavailable, "The cluster has not told yet whose these pods are.").
		WithNext("send the same again after the pause that the answer names").WithAfter(time.Second)
}
