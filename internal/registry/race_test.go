package registry_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// interrupted is a blob store in which something happens right after bytes were put.
type interrupted struct {
	*blob.Store
	then func()
}

func (i *interrupted) Put(ctx context.Context, r io.Reader, want string, limit int64) (string, int64, error) {
	d, n, err := i.Store.Put(ctx, r, want, limit)
	if i.then != nil {
		i.then()
	}
	return d, n, err
}

// TestCollectDuringPush lets the collector take old bytes of a digest in the moment
// between a push that stored them anew and its transaction. The push must be told to try
// again, and must not become a blob without bytes.
func TestCollectDuringPush(t *testing.T) {
	c := &leaping{Clock: clock.System()}
	s := registrytest.StartAt(t, c, registry.Options{})
	blobs := &interrupted{Store: s.Blobs}
	svc := registry.New(s.DB, s.Log, blobs, s.Identity, c, registry.Options{Grace: time.Hour, Uploads: 1_000_000 * time.Hour})
	b := []byte("comes back")
	push := func() error {
		_, err := svc.PutBlob(t.Context(), s.Admin, "shop/web", digest(b), bytes.NewReader(b))
		return err
	}
	if err := push(); err != nil {
		t.Fatal(err)
	}
	c.ahead.Add(int64(2 * time.Hour))
	blobs.then = func() {
		got, err := svc.Collect(t.Context())
		if err != nil || got.Blobs != 1 {
			t.Errorf("Collect = %+v, %v", got, err)
		}
	}
	if err := push(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("the push whose bytes were collected: %v", err)
	}
	if _, err := svc.BlobSize(t.Context(), s.Admin, "shop/web", digest(b)); !fault.Is(err, fault.NotFound) {
		t.Errorf("a blob without bytes is there: %v", err)
	}
	blobs.then = nil
	if err := push(); err != nil {
		t.Fatal(err)
	}
	if got, err := svc.BlobBytes(t.Context(), s.Admin, "shop/web", digest(b), 100); err != nil || !bytes.Equal(got, b) {
		t.Errorf("after the second try: %q, %v", got, err)
	}
}
