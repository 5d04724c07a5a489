package api

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/supply"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/scan"
)

// Image is an image in a repository, with what is known about it in short.
type Image struct {
	Repository string        `json:"repository"`
	Digest     string        `json:"digest"`
	Tags       []string      `json:"tags"`
	MediaType  string        `json:"media_type"`
	Bytes      int64         `json:"bytes" doc:"config and layers, compressed"`
	Pushed     time.Time     `json:"pushed"`
	Pusher     string        `json:"pusher"`
	Run        int64         `json:"run,omitempty"`
	Verdict    *scan.Verdict `json:"verdict,omitempty" doc:"absent until the image was scanned"`
}

func image(i registry.Image) Image {
	return Image{
		Repository: i.Repository, Digest: i.Digest, Tags: append([]string{}, i.Tags...), MediaType: i.MediaType, Bytes: i.Bytes,
		Pushed: i.Pushed, Pusher: i.Pusher, Run: i.Run,
	}
}

// ImageDetail is all that is known about an image.
type ImageDetail struct {
	Image
	Layers    []registry.Descriptor `json:"layers"`
	Platforms []string              `json:"platforms"`
	Referrers []Referrer            `json:"referrers"`
	Report    *supply.Report        `json:"report,omitempty" doc:"absent until the image was read"`
}

// Referrer is an artifact about an image: an SBOM, a signature, …
type Referrer struct {
	Digest       string    `json:"digest"`
	ArtifactType string    `json:"artifact_type"`
	Bytes        int64     `json:"bytes"`
	Pushed       time.Time `json:"pushed"`
}

func (a *server) registryRoutes() {
	op(a, http.MethodGet, "/projects/{project}/images", "image-list", "Images of a project, newest first", a.imageList)
	op(a, http.MethodGet, "/image", "image-show", "An image with SBOM, findings, signatures and provenance", a.imageShow)
	op(a, http.MethodPost, "/image/verify", "image-verify", "Verify an image's signatures now", func(ctx context.Context, in *InImage) (*Body[[]supply.Signature], error) {
		m, err := a.Registry.ManifestRecord(ctx, actor(ctx), in.Repository, in.Reference)
		if err != nil {
			return nil, err
		}
		return body(list(a.Supply.Verify(ctx, actor(ctx), in.Repository, m.Digest)))
	})
	op(a, http.MethodGet, "/advisories", "advisories-status", "Which advisory data is loaded, and of when", func(ctx context.Context, _ *Empty) (*Body[[]advisory.Coverage], error) {
		return body(list(a.Supply.Advisories(ctx, actor(ctx))))
	})
	op(a, http.MethodGet, "/advisories/search", "advisories-list", "Advisories about a package", func(ctx context.Context, in *struct {
		Package string `query:"package" maxLength:"256" example:"golang.org/x/net"`
		Limit   int    `query:"limit" minimum:"0" maximum:"1000"`
	}) (*Body[[]advisory.Record], error) {
		return body(list(a.Supply.ListAdvisories(ctx, actor(ctx), in.Package, in.Limit)))
	})
	op(a, http.MethodGet, "/advisories/entries/{id}", "advisories-show", "An advisory", func(ctx context.Context, in *struct {
		ID string `path:"id" maxLength:"128" example:"GO-2024-2687"`
	}) (*Body[advisory.Record], error) {
		return body(a.Supply.Advisory(ctx, actor(ctx), in.ID))
	})
	op(a, http.MethodPost, "/advisories/import", "advisories-import", "Load OSV advisories that the server can reach", func(ctx context.Context, in *struct {
		Body struct {
			Source string `json:"source" doc:"URL, or folder or zip on the server" maxLength:"4096"`
		}
	}) (*Body[supply.Imported], error) {
		return body(a.Supply.Import(ctx, actor(ctx), in.Body.Source))
	})
	sized(a, maxUpload, http.MethodPost, "/advisories/upload", "advisories-upload", "Load OSV advisories from a zip in the request", a.advisoriesUpload)
}

// InImage names an image.
type InImage struct {
	Repository string `query:"repository" required:"true" maxLength:"255" example:"shop/web"`
	Reference  string `query:"reference" doc:"tag or digest; empty means latest" maxLength:"160"`
}

func (a *server) imageList(ctx context.Context, in *In) (*Body[[]Image], error) {
	got, err := a.Registry.Images(ctx, actor(ctx), in.Project)
	if err != nil {
		return nil, err
	}
	digests := make([]string, 0, len(got))
	for _, i := range got {
		digests = append(digests, i.Digest)
	}
	verdicts, err := a.Supply.Verdicts(ctx, digests)
	if err != nil {
		return nil, err
	}
	out := make([]Image, 0, len(got))
	for _, i := range got {
		v := image(i)
		if verdict, ok := verdicts[i.Digest]; ok {
			v.Verdict = &verdict
		}
		out = append(out, v)
	}
	return body(out, nil)
}

func (a *server) imageShow(ctx context.Context, in *InImage) (*Body[ImageDetail], error) {
	if in.Reference == "" {
		in.Reference = "latest"
	}
	got, err := a.Registry.Image(ctx, actor(ctx), in.Repository, in.Reference)
	if err != nil {
		return nil, err
	}
	out := ImageDetail{Image: image(got), Layers: append([]registry.Descriptor{}, got.Layers...), Platforms: []string{}, Referrers: []Referrer{}}
	for _, p := range got.Platforms {
		out.Platforms = append(out.Platforms, strings.Trim(p.OS+"/"+p.Architecture+"/"+p.Variant, "/"))
	}
	for _, r := range got.Referrers {
		out.Referrers = append(out.Referrers, Referrer{Digest: r.Digest, ArtifactType: r.ArtifactType, Bytes: r.Bytes, Pushed: r.Pushed})
	}
	report, err := a.Supply.Report(ctx, actor(ctx), in.Repository, got.Digest)
	if err == nil {
		out.Report = &report
		if report.Scanned {
			out.Verdict = &report.Verdict
		}
	} else if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return body(out, nil)
}

// maxUpload bounds a zip of advisories in bytes; that of every ecosystem in one fits.
const maxUpload = 512 << 20

func (a *server) advisoriesUpload(ctx context.Context, in *struct {
	Name    string `query:"name" doc:"stands for the source" maxLength:"256" required:"true"`
	RawBody []byte `contentType:"application/zip"`
}) (*Body[supply.Imported], error) {
	return body(a.Supply.ImportZip(ctx, actor(ctx), in.Name, bytes.NewReader(in.RawBody), int64(len(in.RawBody))))
}
