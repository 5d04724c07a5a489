package image_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"towpath.dev/towpath/kube/internal/image"
)

func archive(t *testing.T, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := image.Archive(&out, image.Program{Ref: "localhost/x:v1", Path: "/x", Content: []byte(content), User: "1:1"}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for reader := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(reader); err != nil {
			t.Fatal(err)
		}
	}
}

func TestArchiveIsReproducible(t *testing.T) {
	if !bytes.Equal(archive(t, "program"), archive(t, "program")) {
		t.Error("the same program gives different archives")
	}
	if bytes.Equal(archive(t, "program"), archive(t, "another")) {
		t.Error("different programs give the same archive")
	}
}

func TestArchiveIsAnImageLayout(t *testing.T) {
	files := unpack(t, archive(t, "program"))
	for name, content := range files {
		if hash, isBlob := strings.CutPrefix(name, "blobs/sha256/"); isBlob && digest.FromBytes(content).Encoded() != hash {
			t.Errorf("%s does not have the content that its name says", name)
		}
	}
	var index ocispec.Index
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	if name := index.Manifests[0].Annotations["io.containerd.image.name"]; name != "localhost/x:v1" {
		t.Errorf("the image is called %q", name)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(files["blobs/sha256/"+index.Manifests[0].Digest.Encoded()], &manifest); err != nil {
		t.Fatal(err)
	}
	var config ocispec.Image
	if err := json.Unmarshal(files["blobs/sha256/"+manifest.Config.Digest.Encoded()], &config); err != nil {
		t.Fatal(err)
	}
	layer := files["blobs/sha256/"+manifest.Layers[0].Digest.Encoded()]
	if config.RootFS.DiffIDs[0] != digest.FromBytes(layer) || config.Config.Entrypoint[0] != "/x" || config.Config.User != "1:1" {
		t.Errorf("configuration: %+v", config)
	}
	if inner := unpack(t, layer); string(inner["x"]) != "program" {
		t.Errorf("layer: %q", inner)
	}
}
