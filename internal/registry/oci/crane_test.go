package oci_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// TestRealClient pushes and pulls with the library that crane, ko and many others use.
func TestRealClient(t *testing.T) {
	s := registrytest.Start(t, "", registry.Options{})
	login := remote.WithAuth(&authn.Basic{Username: "writer", Password: registrytest.Password})
	ref := func(r string) name.Reference {
		t.Helper()
		n, err := name.ParseReference(s.Host + "/" + r)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	img, err := random.Image(200_000, 5)
	must(err)
	must(remote.Write(ref("shop/web:v1"), img, login))
	got, err := remote.Image(ref("shop/web:v1"), login)
	must(err)
	must(validate.Image(got))

	// A second repository takes the layers by mounting them.
	must(remote.Write(ref("shop/copy:v1"), remoteImage(t, ref("shop/web:v1"), login), login))

	idx, err := random.Index(10_000, 2, 3)
	must(err)
	must(remote.WriteIndex(ref("shop/multi:v1"), idx, login))
	gotIndex, err := remote.Index(ref("shop/multi:v1"), login)
	must(err)
	must(validate.Index(gotIndex))

	subject, err := partial(img)
	must(err)
	note, ok := mutate.Subject(mutate.MediaType(mutate.ConfigMediaType(empty.Image, "application/vnd.example.note"), types.OCIManifestSchema1), subject).(v1.Image)
	if !ok {
		t.Fatal("no image")
	}
	d, err := note.Digest()
	must(err)
	must(remote.Write(ref("shop/web@"+d.String()), note, login))
	at, err := name.NewDigest(s.Host + "/shop/web@" + subject.Digest.String())
	must(err)
	list, err := remote.Referrers(at, login)
	must(err)
	m, err := list.IndexManifest()
	must(err)
	if len(m.Manifests) != 1 || m.Manifests[0].Digest != d || m.Manifests[0].ArtifactType != "application/vnd.example.note" {
		t.Errorf("referrers %+v", m.Manifests)
	}
	tags, err := remote.List(ref("shop/web").Context(), login)
	must(err)
	if len(tags) != 1 || tags[0] != "v1" {
		t.Errorf("tags %q", tags)
	}
	reader := remote.WithAuth(&authn.Basic{Username: "reader", Password: registrytest.Password})
	if err := remote.Write(ref("shop/web:v2"), img, reader); err == nil {
		t.Error("a reader pushed")
	}
	if _, err := remote.Image(ref("shop/web:v1")); err == nil {
		t.Error("nobody pulled")
	}
}

func remoteImage(t *testing.T, r name.Reference, login remote.Option) v1.Image {
	t.Helper()
	img, err := remote.Image(r, login)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func partial(img v1.Image) (v1.Descriptor, error) {
	d, err := img.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := img.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	mt, err := img.MediaType()
	return v1.Descriptor{MediaType: mt, Digest: d, Size: size}, err
}
