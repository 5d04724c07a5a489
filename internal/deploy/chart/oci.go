package chart

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// Media types of charts in registries (helm.sh/helm/v4/pkg/registry).
const (
	TypeConfig  = "application/vnd.cncf.helm.config.v1+json"
	TypeArchive = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	typeLegacy  = "application/tar+gzip"
	// TypeManifest is the media type of the manifests that hold charts.
	TypeManifest = "application/vnd.oci.image.manifest.v1+json"
)

// maxManifest bounds a manifest, in bytes; that of a chart has a few hundred.
const maxManifest = 1 << 20

// Registry is what is asked of an OCI registry. Errors are fault.NotFound for what is not there
// and fault.Denied for what may not be touched.
type Registry interface {
	// Tags lists the tags of a repository.
	Tags(ctx context.Context, repository string) ([]string, error)
	// Manifest returns a manifest by its tag or digest.
	Manifest(ctx context.Context, repository, reference string) ([]byte, error)
	// Blob returns a blob of at most a number of bytes.
	Blob(ctx context.Context, repository, digest string, most int64) ([]byte, error)
	// PutBlob keeps a blob.
	PutBlob(ctx context.Context, repository, digest string, data []byte) error
	// PutManifest keeps a manifest of TypeManifest under a tag, and returns its digest.
	PutManifest(ctx context.Context, repository, tag string, manifest []byte) (digest string, err error)
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// reference is "oci://HOST/REPOSITORY[:TAG|@DIGEST]" in its parts.
type reference struct{ host, repository, tag, digest string }

var (
	ociHost = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)
	ociPath = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	ociTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digests = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

func parseReference(text string) (reference, error) {
	var r reference
	bad := fault.New(fault.Invalid, "%q is no chart of a registry.", text).WithNext("write oci://HOST/PATH/NAME")
	rest, ok := strings.CutPrefix(text, "oci://")
	r.host, rest, _ = strings.Cut(rest, "/")
	rest, r.digest, _ = strings.Cut(rest, "@")
	if at := strings.LastIndexByte(rest, ':'); at >= 0 {
		rest, r.tag = rest[:at], rest[at+1:]
	}
	r.repository = strings.TrimSuffix(rest, "/")
	if !ok || len(text) > 512 || !ociHost.MatchString(r.host) || !ociPath.MatchString(r.repository) || r.tag != "" && !ociTag.MatchString(r.tag) || r.digest != "" && !digests.MatchString(r.digest) {
		return r, bad
	}
	return r, nil
}

// tagOf is the tag of a version: registries know no "+".
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }

// at returns the registry of a host.
func (c *Client) at(host string, w Want) Registry {
	if c.own.Registry != nil && strings.EqualFold(host, c.own.Host) {
		return c.own.Registry
	}
	auth := w.Auth
	if auth == (Login{}) {
		auth = w.Logins[host]
	}
	return remoteRegistry{host: host, transport: c.http.Transport, auth: auth, plain: w.Plain}
}

// pull fetches a chart of a registry.
func (c *Client) pull(ctx context.Context, w Want) (Chart, error) {
	r, err := parseReference(w.Ref)
	if err != nil {
		return Chart{}, err
	}
	reg := c.at(r.host, w)
	where := r.host + "/" + r.repository
	ref := r.digest
	switch {
	case ref != "":
	case w.Version == "" && r.tag != "":
		ref = r.tag
	case exact(w.Version):
		ref = tagOf(w.Version)
	default:
		tags, err := reg.Tags(ctx, r.repository)
		if err != nil {
			return Chart{}, err
		}
		versions := make([]string, len(tags))
		for i, t := range tags {
			versions[i] = strings.ReplaceAll(t, "_", "+")
		}
		i, err := choose(versions, w.Version)
		if err != nil {
			return Chart{}, err
		}
		if i < 0 {
			return Chart{}, noVersion(last(r.repository), r.host, w.Version)
		}
		ref = tags[i]
	}
	text, err := reg.Manifest(ctx, r.repository, ref)
	if err != nil {
		return Chart{}, err
	}
	if r.digest != "" && digestOf(text) != r.digest {
		return Chart{}, fault.New(fault.Invalid, "%s answers for %s with something else.", r.host, r.digest)
	}
	layer, err := layerOf(where+":"+ref, text)
	if err != nil {
		return Chart{}, err
	}
	data, err := reg.Blob(ctx, r.repository, layer.Digest, MaxArchive)
	if err != nil {
		return Chart{}, err
	}
	if digestOf(data) != layer.Digest {
		return Chart{}, fault.New(fault.Invalid, "%s answers for %s with something else.", r.host, layer.Digest)
	}
	return Chart{Name: last(r.repository) + "-" + strings.ReplaceAll(ref, ":", "-") + ".tgz", Archive: data, Digest: digestOf(text), From: "oci://" + where}, nil
}

// layerOf finds the archive in a manifest.
func layerOf(where string, text []byte) (descriptor, error) {
	var m manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Config.MediaType != TypeConfig {
		return descriptor{}, fault.New(fault.Invalid, "%s is no Helm chart.", where).WithNext("push one with helm push, or give the name of another repository")
	}
	for _, l := range m.Layers {
		if l.MediaType != TypeArchive && l.MediaType != typeLegacy {
			continue
		}
		if l.Size > MaxArchive {
			return descriptor{}, fault.New(fault.TooLarge, "The chart %s is larger than %d MiB.", where, MaxArchive>>20)
		}
		if digests.MatchString(l.Digest) {
			return l, nil
		}
	}
	return descriptor{}, fault.New(fault.Invalid, "%s holds no archive of a chart.", where)
}

// Push is a chart that goes to a registry.
type Push struct {
	To      string // "oci://HOST/PATH"; the chart's name comes after it
	Name    string
	Version string
	Config  []byte // its Chart.yaml as JSON
	Archive []byte
	Plain   bool
	Logins  Logins
}

// Pushed is a chart that is in a registry now.
type Pushed struct {
	Ref    string // "HOST/PATH/NAME:VERSION"
	Digest string // of its manifest
}

// Push puts a chart into a registry, as `helm push` does: under its name and version.
func (c *Client) Push(ctx context.Context, p Push) (Pushed, error) {
	r, err := parseReference(strings.TrimSuffix(p.To, "/") + "/" + p.Name)
	if err != nil {
		return Pushed{}, err
	}
	tag := tagOf(p.Version)
	if !exact(p.Version) || !ociTag.MatchString(tag) {
		return Pushed{}, fault.New(fault.Invalid, "%q is no version that a registry can hold.", p.Version).WithNext("write it as 1.2.3")
	}
	if len(p.Archive) > MaxArchive {
		return Pushed{}, fault.New(fault.TooLarge, "The chart is larger than %d MiB.", MaxArchive>>20)
	}
	reg := c.at(r.host, Want{Plain: p.Plain, Logins: p.Logins})
	for _, data := range [][]byte{p.Config, p.Archive} {
		if err := reg.PutBlob(ctx, r.repository, digestOf(data), data); err != nil {
			return Pushed{}, err
		}
	}
	text, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: TypeManifest, Config: described(TypeConfig, p.Config), Layers: []descriptor{described(TypeArchive, p.Archive)},
		Annotations: map[string]string{"org.opencontainers.image.title": p.Name, "org.opencontainers.image.version": p.Version},
	})
	if err != nil {
		return Pushed{}, err
	}
	digest, err := reg.PutManifest(ctx, r.repository, tag, text)
	return Pushed{Ref: r.host + "/" + r.repository + ":" + tag, Digest: digest}, err
}

func described(kind string, data []byte) descriptor {
	return descriptor{MediaType: kind, Digest: digestOf(data), Size: int64(len(data))}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func last(repository string) string { return repository[strings.LastIndexByte(repository, '/')+1:] }
