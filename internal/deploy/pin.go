package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// maxManifest bounds what a chart may render, in bytes.
const maxManifest = 16 << 20

// pinner is Helm's post-renderer: it turns each tag of our registry into the digest
// that it names now, refuses images that the actor may not read, and notes what it saw.
type pinner struct {
	ctx      context.Context
	actor    identity.Actor
	registry string
	auth     Authoriser
	images   Images
	keep     bool                                 // mark each object so that Helm never deletes it
	replace  map[string]string                    // repository → full image: the `containers` input
	pins     map[string]string                    // images that were pinned before, and how
	admit    func(objects []map[string]any) error // judges them all; nil lets them pass
	// first is the step of the post-renderer before images are resolved; nil for none.
	first func(objects []map[string]any) ([]map[string]any, error)
	// then is the next step of the post-renderer, before they are judged; nil for none.
	then func(objects []map[string]any) ([]map[string]any, error)

	seen  []string // images as deployed, in order, no repeats
	hosts []string // hosts of Ingress rules
	kinds []object // what is deployed
	test  bool     // the object at hand is for `helm test` alone
}

type object struct{ Kind, Name string }

// Run rewrites a stream of YAML documents.
func (p *pinner) Run(in *bytes.Buffer) (*bytes.Buffer, error) {
	if in.Len() > maxManifest {
		return nil, fault.New(fault.TooLarge, "The chart renders %d MiB of manifests; the most is %d MiB.", in.Len()>>20, maxManifest>>20)
	}
	all, err := decode(in)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The rendered manifests are no valid YAML: %v.", err)
	}
	if p.first != nil {
		if all, err = p.first(all); err != nil {
			return nil, err
		}
	}
	for _, doc := range all {
		if err := p.document(doc); err != nil {
			return nil, err
		}
	}
	if p.then != nil {
		if all, err = p.then(all); err != nil {
			return nil, err
		}
	}
	if p.admit != nil {
		if err := p.admit(all); err != nil {
			return nil, err
		}
	}
	return encode(all)
}

// decode reads the objects of a stream of YAML documents.
func decode(in io.Reader) ([]map[string]any, error) {
	var all []map[string]any
	dec := utilyaml.NewYAMLOrJSONDecoder(in, 4096)
	for {
		var doc map[string]any
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if len(doc) > 0 {
			all = append(all, doc)
		}
	}
}

// encode writes objects as a stream of YAML documents.
func encode(all []map[string]any) (*bytes.Buffer, error) {
	out := new(bytes.Buffer)
	for _, doc := range all {
		b, err := yaml.Marshal(doc)
		if err != nil {
			return nil, fmt.Errorf("encoding a manifest: %w", err)
		}
		out.WriteString("---\n")
		out.Write(b)
	}
	return out, nil
}

func (p *pinner) document(doc map[string]any) error {
	kind, _ := doc["kind"].(string)
	meta, _ := doc["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	if !onlyTest(meta) {
		p.kinds = append(p.kinds, object{kind, name})
	}
	if p.keep && meta != nil {
		notes, _ := meta["annotations"].(map[string]any)
		if notes == nil {
			notes = map[string]any{}
			meta["annotations"] = notes
		}
		notes["helm.sh/resource-policy"] = "keep"
	}
	if kind == "Ingress" {
		p.ingress(doc)
	}
	// What only `helm test` runs is no part of the release, but it is pinned all the same.
	p.test = onlyTest(meta)
	defer func() { p.test = false }()
	return p.walk(doc, 0)
}

// onlyTest reports whether an object is a hook that `helm test` alone runs.
func onlyTest(meta map[string]any) bool {
	notes, _ := meta["annotations"].(map[string]any)
	hooks, _ := notes["helm.sh/hook"].(string)
	for h := range strings.SplitSeq(hooks, ",") {
		if h = strings.TrimSpace(h); h != "test" && h != "test-success" && h != "test-failure" {
			return false
		}
	}
	return hooks != ""
}

func (p *pinner) ingress(doc map[string]any) {
	spec, _ := doc["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		if h, _ := rule["host"].(string); h != "" && !slices.Contains(p.hosts, h) {
			p.hosts = append(p.hosts, h)
		}
	}
}

// walk finds every list of containers, whatever kind of object holds the pod's spec.
func (p *pinner) walk(v any, depth int) error {
	if depth > 64 {
		return fault.New(fault.Invalid, "A manifest is nested more than 64 levels deep.")
	}
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			if k == "containers" || k == "initContainers" || k == "ephemeralContainers" {
				if err := p.containers(child); err != nil {
					return err
				}
			}
			if err := p.walk(child, depth+1); err != nil {
				return err
			}
		}
	case []any:
		for _, child := range v {
			if err := p.walk(child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pinner) containers(v any) error {
	list, _ := v.([]any)
	for _, c := range list {
		container, _ := c.(map[string]any)
		image, ok := container["image"].(string)
		if !ok {
			continue
		}
		pinned, ok := p.pins[image]
		if !ok {
			var err error
			if pinned, err = p.pin(image); err != nil {
				return err
			}
			if p.pins == nil {
				p.pins = map[string]string{}
			}
			p.pins[image] = pinned
		}
		container["image"] = pinned
		if !p.test && !slices.Contains(p.seen, pinned) {
			p.seen = append(p.seen, pinned)
		}
	}
	return nil
}

func (p *pinner) pin(image string) (string, error) {
	if full, ok := p.replace[bare(image)]; ok {
		image = full
	}
	rest, ok := strings.CutPrefix(image, p.registry+"/")
	if !ok {
		return image, nil
	}
	repository, digest, byDigest := strings.Cut(rest, "@")
	name, tag, _ := cutTag(repository)
	project, _, _ := strings.Cut(name, "/")
	// The node pulls with rights to every image, so what a project may not read must
	// be refused here.
	if err := p.auth.Require(p.ctx, p.actor, project, identity.Read); err != nil {
		return "", fault.Wrap(fault.Denied, err, "Image %s belongs to project %s, which this run may not read.", image, project)
	}
	if byDigest {
		return p.registry + "/" + name + "@" + digest, nil
	}
	if tag == "" {
		tag = "latest"
	}
	digest, err := p.images.Digest(p.ctx, name, tag)
	if err != nil {
		return "", fault.Wrap(fault.KindOf(err), err, "Image %s is not in the registry.", image).
			WithNext("push it first, with a Docker@2 step before this one")
	}
	return p.registry + "/" + name + "@" + digest, nil
}

// bare returns an image's name without tag and digest.
func bare(image string) string {
	image, _, _ = strings.Cut(image, "@")
	name, _, _ := cutTag(image)
	return name
}

// cutTag splits "host:port/name:tag" at the tag's colon.
func cutTag(s string) (name, tag string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s[i:], "/") {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// pinnerFor returns a pinner that resolves images in the name of an actor.
func (s *Service) pinnerFor(ctx context.Context, a identity.Actor) *pinner {
	return &pinner{ctx: ctx, actor: a, registry: s.opts.Registry, auth: s.Auth, images: s.Images}
}
