package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Program describes an image of one static program.
type Program struct {
	// Ref is the full name of the image, with registry host and tag: "localhost/towpath/pause:v1".
	Ref string
	// Path is where the program stands in the image and what runs; absolute, at the root: "/pause".
	Path string
	// Content is the program itself.
	Content []byte
	// User is "uid:gid"; empty means root.
	User string
}

// Archive writes the image as an OCI layout in a tar stream, the form that Import and other tools read.
func Archive(to io.Writer, program Program) error {
	layer, err := layerOf(program)
	if err != nil {
		return err
	}
	config, err := json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   ocispec.ImageConfig{Entrypoint: []string{program.Path}, User: program.User},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	})
	if err != nil {
		return fmt.Errorf("encoding the configuration of image %s: %w", program.Ref, err)
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    descriptor(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)},
	})
	if err != nil {
		return fmt.Errorf("encoding the manifest of image %s: %w", program.Ref, err)
	}
	entry := descriptor(ocispec.MediaTypeImageManifest, manifest)
	entry.Annotations = map[string]string{"io.containerd.image.name": program.Ref, ocispec.AnnotationRefName: program.Ref}
	index, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{entry}})
	if err != nil {
		return fmt.Errorf("encoding the index of image %s: %w", program.Ref, err)
	}
	archive := tar.NewWriter(to)
	files := []file{
		{ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`), 0o644},
		{ocispec.ImageIndexFile, index, 0o644},
		{blobPath(manifest), manifest, 0o644},
		{blobPath(config), config, 0o644},
		{blobPath(layer), layer, 0o644},
	}
	return writeTar(archive, files)
}

type file struct {
	name    string
	content []byte
	mode    int64
}

func layerOf(program Program) ([]byte, error) {
	var layer bytes.Buffer
	err := writeTar(tar.NewWriter(&layer), []file{{program.Path[1:], program.Content, 0o755}})
	return layer.Bytes(), err
}

// writeTar writes files with nothing in their headers that differs from one run to the next.
func writeTar(archive *tar.Writer, files []file) error {
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0)}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing %s to an image archive: %w", f.name, err)
		}
		if _, err := archive.Write(f.content); err != nil {
			return fmt.Errorf("writing %s to an image archive: %w", f.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("ending an image archive: %w", err)
	}
	return nil
}

func descriptor(mediaType string, content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

func blobPath(content []byte) string { return "blobs/sha256/" + digest.FromBytes(content).Encoded() }
