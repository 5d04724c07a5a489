package sbom

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/extractor"
	apkmeta "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	dpkgmeta "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	"github.com/google/osv-scalibr/purl"
)

// Package is one package version in an image.
type Package struct {
	Type      string `json:"type"`      // purl type
	Ecosystem string `json:"ecosystem"` // OSV's word: "Go", "Debian:12"; "" when OSV has none
	Name      string `json:"name"`
	Version   string `json:"version,omitempty"`
	// MatchName and MatchVersion are what the ecosystem's advisories speak about:
	// the source package for Debian and Alpine, else name and version.
	MatchName    string `json:"-"`
	MatchVersion string `json:"-"`
	PURL         string `json:"purl"`
	Path         string `json:"path"`  // first file that declares it
	Layer        string `json:"layer"` // digest of the layer that brings that file
}

// Layer is a layer of an image with its content, as Merge takes it.
type Layer struct {
	Digest  string
	Content Content
}

// Merge lays the layers on each other, lowest first, and returns the packages that
// are left, each version once, sorted by type, name and version.
func Merge(layers []Layer) []Package {
	type at struct {
		layer string
		found []Found
	}
	files := map[string]at{}
	release := map[string]string{}
	for _, l := range layers {
		hides := l.Content.hides()
		for p := range files {
			if hides(p) {
				delete(files, p)
			}
		}
		for _, f := range l.Content.Files {
			files[f.Path] = at{layer: l.Digest, found: f.Found}
		}
		if l.Content.Release != nil {
			release = l.Content.Release
		}
	}
	seen := map[string]Package{}
	for p, f := range files {
		for _, found := range f.found {
			pkg := found.resolve(release)
			pkg.Path, pkg.Layer = p, f.layer
			// The first path wins, so that the order of the map does not matter.
			if old, ok := seen[pkg.PURL]; !ok || pkg.Path < old.Path {
				seen[pkg.PURL] = pkg
			}
		}
	}
	out := make([]Package, 0, len(seen))
	for _, p := range seen {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.PURL, b.PURL))
	})
	return out
}

// hides returns a function that tells whether the layer hides a lower layer's file. It
// looks at the file's parents only, so that many whiteouts cost nothing.
func (c Content) hides() func(p string) bool {
	removed, emptied := set(c.Removed), set(c.Emptied)
	return func(p string) bool {
		if removed[p] || emptied[""] {
			return true
		}
		for i := range len(p) {
			if p[i] == '/' && (removed[p[:i]] || emptied[p[:i]]) {
				return true
			}
		}
		return false
	}
}

func set(list []string) map[string]bool {
	out := make(map[string]bool, len(list))
	for _, s := range list {
		out[s] = true
	}
	return out
}

func (f Found) resolve(release map[string]string) Package {
	e := extractor.Package{Name: f.Name, Version: f.Version, PURLType: f.Type}
	if f.Type == purl.TypeGolang && (f.Version == "(devel)" || f.Version == "") {
		e.Version = ""
	}
	p := Package{Type: f.Type, Name: f.Name, Version: e.Version, MatchName: f.Name, MatchVersion: e.Version}
	switch f.Type {
	case purl.TypeDebian:
		e.Metadata = &dpkgmeta.Metadata{
			PackageName: f.Name, PackageVersion: f.Version, SourceName: f.Source, SourceVersion: f.SourceVersion, Architecture: f.Arch,
			OSID: release["ID"], OSVersionID: release["VERSION_ID"], OSVersionCodename: release["VERSION_CODENAME"],
		}
		p.MatchName, p.MatchVersion = cmp.Or(f.Source, f.Name), cmp.Or(f.SourceVersion, f.Version)
	case purl.TypeApk:
		e.Metadata = &apkmeta.Metadata{
			PackageName: f.Name, OriginName: f.Source, Architecture: f.Arch, OSID: release["ID"], OSVersionID: release["VERSION_ID"],
		}
		p.MatchName = cmp.Or(f.Source, f.Name)
	}
	p.Ecosystem = e.Ecosystem().String()
	if u := e.PURL(); u != nil {
		p.PURL = u.String()
	}
	return p
}
