package page

import (
	"strings"
	"time"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
)

// ImageItem is a row of the images page.
type ImageItem struct {
	registry.Image
	Verdict *scan.Verdict // nil while it is not judged
}

// ImageList is what the images page shows.
type ImageList struct {
	Images []ImageItem
	Query  string
	Host   string // of the registry in image names
}

// ImageView is what an image's page shows.
type ImageView struct {
	registry.Image
	Report   *supply.Report // nil when nothing is known
	Tab      string         // "", "packages", "findings", "layers", "referrers"
	Query    string
	Packages []sbom.Package // after the filter
	Findings []scan.Finding // after the filter
	Host     string
}

// ImageHref is the page of an image; it goes by digest, which never changes.
func ImageHref(s Shell, repository, digest string) string {
	return s.At("/images/" + EscPath(repository) + "@" + digest)
}

func (v ImageView) href(s Shell, tab string) string {
	return ImageHref(s, v.Repository, v.Digest) + Query("tab", tab)
}

func (v ImageView) reference() string { return v.Host + "/" + v.Repository + "@" + v.Digest }

// VerdictState is how a scan's verdict stands on the way to production.
func VerdictState(v *scan.Verdict) (State, string) {
	switch {
	case v == nil || v.Scan == "":
		return Passing, "being scanned"
	case v.Problem != "":
		return Shut, "cannot be read"
	case v.Critical > 0:
		return Shut, Count(v.Critical) + " critical"
	case v.High > 0:
		return Shut, Count(v.High) + " high"
	case len(v.Missing) > 0 && v.Medium+v.Low+v.Unknown == 0:
		return Held, "no advisories for " + strings.Join(v.Missing, ", ")
	case v.Medium+v.Low+v.Unknown > 0:
		return Open, Count(v.Medium+v.Low+v.Unknown) + " below high"
	}
	return Open, "0 findings"
}

func (v ImageView) verdict() *scan.Verdict {
	if v.Report == nil || !v.Report.Scanned {
		return nil
	}
	return &v.Report.Verdict
}

func (v ImageView) signed() (State, string) {
	if v.Report == nil || len(v.Report.Signatures) == 0 {
		return Note, "not signed"
	}
	for _, s := range v.Report.Signatures {
		if s.Verified {
			return Open, "signed by " + s.Identity
		}
	}
	return Shut, "signature is not valid: " + v.Report.Signatures[0].Why
}

// created is when a referrer says that it was made.
func created(m registry.Manifest) time.Time {
	if t, err := time.Parse(time.RFC3339, m.Annotations["org.opencontainers.image.created"]); err == nil {
		return t
	}
	return m.Pushed
}

// artifactName is the short word for a referrer's type.
func artifactName(m registry.Manifest) string {
	t := m.ArtifactType
	switch {
	case strings.Contains(t, "spdx"):
		return "SBOM (SPDX)"
	case strings.Contains(t, "cyclonedx"):
		return "SBOM (CycloneDX)"
	case strings.Contains(t, "notary"), strings.Contains(t, "signature"):
		return "Signature"
	case strings.Contains(t, "in-toto"), strings.Contains(t, "provenance"):
		return "Provenance"
	case strings.Contains(t, "scan"):
		return "Scan report"
	}
	return t
}

// advisoryHref is where an advisory is published; identifiers are checked so that
// nothing else gets into the link.
func advisoryHref(id string) string {
	for _, r := range id {
		if !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == ':' || r == '.') {
			return ""
		}
	}
	return "https://osv.dev/vulnerability/" + id
}
