package registry

import (
	"encoding/json"
	"strings"

	"towpath.dev/towpath/internal/fault"
)

// The media types that the registry understands. Others are kept as they come.
const (
	TypeImage       = "application/vnd.oci.image.manifest.v1+json"
	TypeIndex       = "application/vnd.oci.image.index.v1+json"
	TypeDockerImage = "application/vnd.docker.distribution.manifest.v2+json"
	TypeDockerList  = "application/vnd.docker.distribution.manifest.list.v2+json"

	TypeImageConfig       = "application/vnd.oci.image.config.v1+json"
	TypeDockerImageConfig = "application/vnd.docker.container.image.v1+json"
	TypeEmpty             = "application/vnd.oci.empty.v1+json"
)

// MaxManifest is the largest manifest in bytes, the size that the specification asks
// registries to take.
const MaxManifest = 4 << 20

// maxDescriptors bounds what one manifest may name: each one is a row.
const maxDescriptors = 4096

// Kinds of manifests.
const (
	KindImage    = "image"    // something that a container starts from
	KindIndex    = "index"    // a list of manifests, one a platform
	KindArtifact = "artifact" // anything else: a chart, an SBOM, a signature
)

// document is a manifest as it was sent, in the fields that matter here. It covers both
// shapes, image and index.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *Descriptor       `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Manifests     []Descriptor      `json:"manifests"`
	Subject       *Descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// content is what a manifest says, after validation.
type content struct {
	mediaType    string
	kind         string
	artifactType string // as the referrers list shows it
	subject      string // digest or ""
	config       string // digest or ""
	annotations  map[string]string
	blobs        []Descriptor // must be in the repository
	manifests    []Descriptor // must be in the repository
	loose        bool         // an unknown type: what it seems to name need not be here
}

// parse validates a manifest. mediaType is the Content-Type it came with, "" for none.
func parse(mediaType string, body []byte) (content, error) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return content{}, &Error{Code: CodeManifestInvalid, Fault: fault.Wrap(fault.Invalid, err, "The manifest is not valid JSON of the shape that the image specification gives.")}
	}
	switch {
	case mediaType == "":
		mediaType = d.MediaType
	case d.MediaType != "" && d.MediaType != mediaType:
		return content{}, invalid("The manifest says that it is %.100q but was sent as %.100q.", d.MediaType, mediaType)
	}
	c := content{mediaType: mediaType, kind: KindArtifact, artifactType: d.ArtifactType, annotations: d.Annotations}
	var err error
	switch mediaType {
	case TypeImage, TypeDockerImage:
		err = c.image(d)
	case TypeIndex, TypeDockerList:
		err = c.index(d)
	case "":
		err = invalid("The manifest has no media type: send it as Content-Type.")
	default:
		if strings.HasPrefix(mediaType, "application/vnd.docker.distribution.manifest.v1+") {
			return content{}, invalid("Docker manifests of schema 1 are not supported: push with a client of this decade.")
		}
		c.other(d)
	}
	if err == nil && d.Subject != nil {
		err = d.Subject.check("subject")
		c.subject = d.Subject.Digest
	}
	if err == nil && len(c.blobs)+len(c.manifests) > maxDescriptors {
		err = invalid("The manifest names %d things, more than %d.", len(c.blobs)+len(c.manifests), maxDescriptors)
	}
	return c, err
}

func invalid(format string, args ...any) error { return wrong(CodeManifestInvalid, format, args...) }

// image takes an image manifest. A document that is an image and an index at once is
// refused, because readers would disagree on what it is.
func (c *content) image(d document) error {
	if d.SchemaVersion != 2 {
		return invalid("The manifest's schemaVersion is %d; it must be 2.", d.SchemaVersion)
	}
	if d.Manifests != nil {
		return invalid("An image manifest must not have a list of manifests.")
	}
	if d.Config == nil {
		return invalid("The image manifest has no config.")
	}
	if err := d.Config.check("config"); err != nil {
		return err
	}
	c.config = d.Config.Digest
	c.blobs = append(c.blobs, *d.Config)
	for _, l := range d.Layers {
		if err := l.check("layer"); err != nil {
			return err
		}
		// A layer that may not be redistributed, or that names where else it is, need not
		// be here.
		if len(l.URLs) == 0 && !strings.Contains(l.MediaType, "nondistributable") && !strings.Contains(l.MediaType, "foreign") {
			c.blobs = append(c.blobs, l)
		}
	}
	if d.ArtifactType == "" {
		c.artifactType = d.Config.MediaType
		if d.Config.MediaType == TypeImageConfig || d.Config.MediaType == TypeDockerImageConfig {
			c.kind = KindImage
		}
	}
	return nil
}

func (c *content) index(d document) error {
	if d.SchemaVersion != 2 {
		return invalid("The index's schemaVersion is %d; it must be 2.", d.SchemaVersion)
	}
	if d.Layers != nil || d.Config != nil {
		return invalid("An index must not have layers or a config.")
	}
	for _, m := range d.Manifests {
		if err := m.check("manifest"); err != nil {
			return err
		}
	}
	c.manifests = d.Manifests
	if d.ArtifactType == "" {
		c.kind = KindIndex
	}
	return nil
}

// other takes a document of an unknown type. What looks like a descriptor is noted, so
// that the collector keeps it.
func (c *content) other(d document) {
	c.loose = true
	if d.Config != nil && d.Config.check("") == nil {
		c.blobs = append(c.blobs, *d.Config)
	}
	for _, l := range d.Layers {
		if l.check("") == nil {
			c.blobs = append(c.blobs, l)
		}
	}
	for _, m := range d.Manifests {
		if m.check("") == nil {
			c.manifests = append(c.manifests, m)
		}
	}
}

func (d Descriptor) check(what string) error {
	if !ValidDigest(d.Digest) {
		return invalid("The %s's digest %.80q is not valid.", what, d.Digest)
	}
	if d.Size < 0 {
		return invalid("The %s's size %d is negative.", what, d.Size)
	}
	return nil
}
