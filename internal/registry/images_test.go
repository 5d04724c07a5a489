package registry_test

import (
	"bytes"
	"fmt"
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// TestImages reads back an index of two platforms with a referrer, as the pages do.
func TestImages(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	ctx := t.Context()
	blob := func(b string) string {
		if _, err := s.PutBlob(ctx, s.Admin, "shop/web", digest([]byte(b)), bytes.NewReader([]byte(b))); err != nil {
			t.Fatal(err)
		}
		return digest([]byte(b))
	}
	put := func(ref, kind, body string, tags ...string) string {
		if ref == "" {
			ref = digest([]byte(body))
		}
		p, err := s.PutManifest(ctx, s.Admin, "shop/web", ref, kind, []byte(body), tags...)
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	children := ""
	for i, arch := range []string{"amd64", "arm64"} {
		config := fmt.Sprintf(`{"os":"linux","architecture":%q,"config":{"User":"65532","ExposedPorts":{"8080/tcp":{}},"Labels":{"team":"shop"}}}`, arch)
		m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":6}]}`,
			registry.TypeImage, registry.TypeImageConfig, blob(config), len(config), blob(fmt.Sprintf("layer%d", i)))
		d := put("", registry.TypeImage, m)
		if i > 0 {
			children += ","
		}
		children += fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":%q}}`, registry.TypeImage, d, len(m), arch)
	}
	idx := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, registry.TypeIndex, children)
	d := put("v1", registry.TypeIndex, idx, "latest")
	note := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/x","config":{"mediaType":%q,"digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":%d}}`,
		registry.TypeImage, registry.TypeEmpty, blob("{}"), registry.TypeIndex, d, len(idx))
	put("", registry.TypeImage, note)

	list, err := s.Images(ctx, s.Admin, "shop")
	if err != nil || len(list) != 1 || list[0].Digest != d || len(list[0].Tags) != 2 || list[0].Kind != registry.KindIndex {
		t.Fatalf("Images = %+v, %v", list, err)
	}
	img, err := s.Image(ctx, s.Admin, "shop/web", "latest")
	if err != nil || len(img.Platforms) != 2 || img.Platforms[1].Architecture != "arm64" || img.Platforms[1].Bytes == 0 {
		t.Fatalf("Image = %+v, %v", img, err)
	}
	if len(img.Referrers) != 1 || img.Referrers[0].ArtifactType != "application/x" || img.Bytes != img.Platforms[0].Bytes+img.Platforms[1].Bytes {
		t.Errorf("Image = %+v", img)
	}
	one, err := s.Image(ctx, s.Admin, "shop/web", img.Platforms[0].Digest)
	if err != nil || one.Config.User != "65532" || one.Config.ExposedPorts[0] != "8080/tcp" || one.Config.Labels["team"] != "shop" || len(one.Layers) != 1 {
		t.Errorf("Image = %+v, %v", one, err)
	}
	stranger := identity.Actor{Kind: identity.KindUser, Name: "stranger", Cap: identity.Admin}
	if _, err := s.Images(ctx, stranger, "shop"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger's Images: %v", err)
	}
	if _, err := s.BlobBytes(ctx, stranger, "shop/web", digest([]byte("layer0")), 100); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger's BlobBytes: %v", err)
	}
}
