package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Image is what a document describes.
type Image struct {
	Repository string    // "shop/web"
	Digest     string    // "sha256:…" of the manifest
	Created    time.Time // stands in the document; use a fixed fact such as the push
}

// Media types of the documents, which are also the artifact types of the referrers.
const (
	MediaTypeSPDX      = "application/spdx+json"
	MediaTypeCycloneDX = "application/vnd.cyclonedx+json"
)

const tool = "towpath"

// SPDX returns the SPDX 2.3 document of an image.
func SPDX(img Image, packages []Package) ([]byte, error) {
	const root = "SPDXRef-Image"
	type ref struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	type checksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	type pkg struct {
		ID        string     `json:"SPDXID"`
		Name      string     `json:"name"`
		Version   string     `json:"versionInfo,omitempty"`
		Download  string     `json:"downloadLocation"`
		Analyzed  bool       `json:"filesAnalyzed"`
		Concluded string     `json:"licenseConcluded"`
		Declared  string     `json:"licenseDeclared"`
		Copyright string     `json:"copyrightText"`
		Source    string     `json:"sourceInfo,omitempty"`
		Purpose   string     `json:"primaryPackagePurpose,omitempty"`
		Checksums []checksum `json:"checksums,omitempty"`
		Refs      []ref      `json:"externalRefs,omitempty"`
	}
	type relation struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	const none = "NOASSERTION"
	alg, hash, _ := strings.Cut(img.Digest, ":")
	pkgs := []pkg{{
		ID: root, Name: img.Repository, Version: img.Digest, Download: none, Concluded: none, Declared: none, Copyright: none,
		Purpose: "CONTAINER", Checksums: []checksum{{strings.ToUpper(alg), hash}}, Refs: []ref{{"PACKAGE-MANAGER", "purl", imagePURL(img)}},
	}}
	relations := []relation{{"SPDXRef-DOCUMENT", "DESCRIBES", root}}
	for i, p := range packages {
		id := fmt.Sprintf("SPDXRef-Package-%d", i+1)
		out := pkg{ID: id, Name: p.Name, Version: p.Version, Download: none, Concluded: none, Declared: none, Copyright: none,
			Source: fmt.Sprintf("declared by /%s in layer %s", p.Path, p.Layer)}
		if p.PURL != "" {
			out.Refs = []ref{{"PACKAGE-MANAGER", "purl", p.PURL}}
		}
		pkgs = append(pkgs, out)
		relations = append(relations, relation{root, "CONTAINS", id})
	}
	return encode(map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": img.Repository + "@" + img.Digest,
		"documentNamespace": "https://towpath.dev/spdx/" + url.PathEscape(img.Repository) + "/" + hash,
		"creationInfo":      map[string]any{"created": stamp(img.Created), "creators": []string{"Tool: " + tool}},
		"packages":          pkgs, "relationships": relations, "documentDescribes": []string{root},
	})
}

// CycloneDX returns the CycloneDX 1.6 document of an image.
func CycloneDX(img Image, packages []Package) ([]byte, error) {
	type property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version,omitempty"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	parts := make([]component, 0, len(packages))
	refs := make([]string, 0, len(packages))
	for i, p := range packages {
		ref := fmt.Sprintf("package-%d", i+1)
		refs = append(refs, ref)
		parts = append(parts, component{Type: "library", Ref: ref, Name: p.Name, Version: p.Version, PURL: p.PURL,
			Properties: []property{{"towpath:path", "/" + p.Path}, {"towpath:layer", p.Layer}}})
	}
	return encode(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": serial(img),
		"metadata": map[string]any{
			"timestamp": stamp(img.Created),
			"tools":     map[string]any{"components": []component{{Type: "application", Ref: tool, Name: tool}}},
			"component": component{Type: "container", Ref: "image", Name: img.Repository, Version: img.Digest, PURL: imagePURL(img)},
		},
		"components":   parts,
		"dependencies": []map[string]any{{"ref": "image", "dependsOn": refs}},
	})
}

// imagePURL follows the purl type "oci": the name is the last part of the repository.
func imagePURL(img Image) string {
	name := img.Repository[strings.LastIndex(img.Repository, "/")+1:]
	return "pkg:oci/" + url.PathEscape(name) + "@" + url.QueryEscape(img.Digest) + "?repository_url=" + url.QueryEscape(img.Repository)
}

// serial derives the document's UUID from what it describes, so that writing it
// again gives the same document (version 8 of RFC 9562: free use of the bits).
func serial(img Image) string {
	sum := sha256.Sum256([]byte(img.Repository + "@" + img.Digest))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return "urn:uuid:" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

func encode(doc map[string]any) ([]byte, error) {
	// Maps are encoded with sorted keys, so equal input gives equal bytes.
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the document: %w", err)
	}
	return append(b, '\n'), nil
}
