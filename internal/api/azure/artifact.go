package azure

import (
	"archive/tar"
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"path"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// artifact is one as build/builds/N/artifacts shows it.
func (s *server) artifact(d *pipeline.Detail, i int, a protocol.Artifact) map[string]any {
	at := s.path(d.Project, fmt.Sprintf("build/builds/%d/artifacts?artifactName=%s", d.Number, url.QueryEscape(a.Name)))
	return map[string]any{
		"id": i + 1, "name": a.Name, "source": a.Job,
		"resource": map[string]any{
			"type": "PipelineArtifact", "data": a.Digest, "url": at, "downloadUrl": at + "&$format=zip",
			"properties": map[string]string{"artifactsize": fmt.Sprint(a.Bytes)},
		},
	}
}

// artifacts lists the artifacts of a run, shows one (artifactName), or sends one as a zip
// ($format=zip).
func (s *server) artifacts(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	out := []map[string]any{}
	for i, a := range d.Artifacts {
		name := q.Get("artifactName")
		switch {
		case name == "":
			out = append(out, s.artifact(d, i, a))
		case !strings.EqualFold(name, a.Name):
		case strings.EqualFold(q.Get("$format"), "zip") || strings.Contains(c.r.Header.Get("Accept"), "application/zip"):
			return written{}, s.zip(c, d.Number, a.Name)
		default:
			return s.artifact(d, i, a), nil
		}
	}
	if name := q.Get("artifactName"); name != "" {
		return nil, fault.New(fault.NotFound, "The run %d has no artifact %q.", d.Number, clip(name))
	}
	return list(out), nil
}

// zip sends an artifact, which is kept as a tar, in the form that the service has.
func (s *server) zip(c *call, run int64, name string) error {
	a, body, err := s.pipeline.OpenArtifact(c.ctx, c.actor, run, name)
	if err != nil {
		return err
	}
	defer body.Close()
	c.w.Header().Set("Content-Type", "application/zip")
	c.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.Name + ".zip"}))
	z := zip.NewWriter(c.w)
	tr := tar.NewReader(body)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			err = entryOf(z, a.Name, h, tr)
		}
		if err != nil {
			// The answer has begun: an end without a directory is all that can tell the client.
			s.log.Error("sending an artifact", "run", run, "error", err)
			return nil
		}
	}
	if err := z.Close(); err != nil {
		s.log.Info("sending an artifact", "run", run, "error", err)
	}
	return nil
}

// entryOf copies a file. Its name is foreign: it stays below the folder of the artifact.
func entryOf(z *zip.Writer, artifact string, h *tar.Header, body io.Reader) error {
	head := &zip.FileHeader{Name: path.Join(artifact, path.Clean("/"+h.Name)), Method: zip.Deflate, Modified: h.ModTime}
	head.SetMode(h.FileInfo().Mode().Perm())
	w, err := z.CreateHeader(head)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, body)
	return err
}
