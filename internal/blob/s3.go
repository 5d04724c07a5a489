package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	s3 "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// objects keeps files by a storage driver of distribution.
type objects struct {
	driver storagedriver.StorageDriver
}

func openS3(ctx context.Context, root string, parameters map[string]any) (*objects, error) {
	p := maps.Clone(parameters)
	if p == nil {
		p = map[string]any{}
	}
	if root != "" {
		p["rootdirectory"] = root
	}
	d, err := s3.FromParameters(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("preparing the s3 blob driver: %w", err)
	}
	return &objects{driver: d}, nil
}

// translate gives fs.ErrNotExist for the driver's own word for it.
func translate(err error) error {
	var missing storagedriver.PathNotFoundError
	if errors.As(err, &missing) {
		return errors.Join(fs.ErrNotExist, err)
	}
	return err
}

func (o *objects) open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	r, err := o.driver.Reader(ctx, "/"+name, offset)
	return r, translate(err)
}

func (o *objects) size(ctx context.Context, name string) (int64, error) {
	st, err := o.driver.Stat(ctx, "/"+name)
	if err != nil {
		return 0, translate(err)
	}
	if st.IsDir() {
		return 0, fs.ErrNotExist
	}
	return st.Size(), nil
}

// write commits the object at the end of each call: what an object store acknowledged is
// durable, and an object that was committed can be appended to (the driver copies what is
// there as the first part of a new multipart upload, on the server's side).
func (o *objects) write(ctx context.Context, name string, at int64, r io.Reader) (int64, error) {
	if at == 0 {
		return o.writeNew(ctx, name, r)
	}
	w, err := o.driver.Writer(ctx, "/"+name, true)
	if err != nil {
		return 0, translate(err)
	}
	return o.copy(ctx, w, r)
}

func (o *objects) writeNew(ctx context.Context, name string, r io.Reader) (int64, error) {
	w, err := o.driver.Writer(ctx, "/"+name, false)
	if err != nil {
		return 0, translate(err)
	}
	return o.copy(ctx, w, r)
}

func (o *objects) copy(ctx context.Context, w storagedriver.FileWriter, r io.Reader) (int64, error) {
	n, err := io.Copy(w, r)
	if errors.Is(err, errOverLimit) {
		return 0, errors.Join(err, w.Cancel(ctx))
	}
	if cerr := errors.Join(w.Commit(context.WithoutCancel(ctx)), w.Close()); cerr != nil {
		return 0, errors.Join(err, cerr)
	}
	return n, err
}

func (o *objects) move(ctx context.Context, from, to string) error {
	return translate(o.driver.Move(ctx, "/"+from, "/"+to))
}

func (o *objects) remove(ctx context.Context, name string) error {
	if _, err := o.size(ctx, name); err != nil {
		return err
	}
	return translate(o.driver.Delete(ctx, "/"+name))
}

func (o *objects) stale(ctx context.Context, folder string, before time.Time) ([]string, error) {
	names, err := o.driver.List(ctx, "/"+folder)
	if err = translate(err); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range names {
		st, err := o.driver.Stat(ctx, n)
		if err = translate(err); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !st.IsDir() && st.ModTime().Before(before) {
			out = append(out, path.Base(n))
		}
	}
	return out, nil
}
