package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	s3 "github.com/distribution/distribution/v3/registry/storage/driver/s3-aws"
)

// objects keeps files by a storage driver of distribution. An object in S3 cannot grow,
// so an upload is a folder of pieces, each an object that is whole once its write
// returned, named by the offset at which it begins; at the move they become one object.
type objects struct {
	driver storagedriver.StorageDriver
}

func openS3(ctx context.Context, root string, parameters map[string]any) (*objects, error) {
	p := maps.Clone(parameters)
	if p == nil {
		p = map[string]any{}
	}
	if root != "" { // Below the folder that is configured, if any.
		configured, _ := p["rootdirectory"].(string)
		p["rootdirectory"] = path.Join(configured, root)
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

func isUpload(name string) bool { return strings.HasPrefix(name, uploads+"/") }

func pieceName(name string, at int64) string { return fmt.Sprintf("/%s/%020d", name, at) }

// pieces lists the objects of an upload in order; a missing upload gives fs.ErrNotExist.
func (o *objects) pieces(ctx context.Context, name string) ([]string, error) {
	list, err := o.driver.List(ctx, "/"+name)
	if err = translate(err); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fs.ErrNotExist
	}
	slices.Sort(list)
	return list, nil
}

func (o *objects) open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if !isUpload(name) {
		r, err := o.driver.Reader(ctx, "/"+name, offset)
		return r, translate(err)
	}
	list, err := o.pieces(ctx, name)
	if err != nil {
		return nil, err
	}
	r := &pieceReader{ctx: ctx, driver: o.driver, list: list}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (o *objects) size(ctx context.Context, name string) (int64, error) {
	if !isUpload(name) {
		st, err := o.driver.Stat(ctx, "/"+name)
		if err != nil {
			return 0, translate(err)
		}
		if st.IsDir() {
			return 0, fs.ErrNotExist
		}
		return st.Size(), nil
	}
	list, err := o.pieces(ctx, name)
	if err != nil {
		return 0, err
	}
	// The last piece says where it begins, so only it must be asked for.
	last := list[len(list)-1]
	var at int64
	if _, err := fmt.Sscanf(path.Base(last), "%d", &at); err != nil {
		return 0, fmt.Errorf("reading the name of piece %s: %w", last, err)
	}
	st, err := o.driver.Stat(ctx, last)
	if err != nil {
		return 0, translate(err)
	}
	return at + st.Size(), nil
}

func (o *objects) write(ctx context.Context, name string, at int64, r io.Reader) (int64, error) {
	w, err := o.driver.Writer(ctx, pieceName(name, at), false)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	// What was refused for its size is not kept; what arrived before r broke off is.
	if errors.Is(err, errOverLimit) || (err != nil && n == 0) {
		return 0, errors.Join(err, w.Cancel(context.WithoutCancel(ctx)), w.Close())
	}
	if cerr := errors.Join(w.Commit(context.WithoutCancel(ctx)), w.Close()); cerr != nil {
		return 0, errors.Join(err, cerr)
	}
	return n, err
}

func (o *objects) move(ctx context.Context, from, to string) error {
	list, err := o.pieces(ctx, from)
	if err != nil {
		return err
	}
	if len(list) == 1 {
		return translate(o.driver.Move(ctx, list[0], "/"+to))
	}
	w, err := o.driver.Writer(ctx, "/"+to, false)
	if err != nil {
		return err
	}
	r := &pieceReader{ctx: ctx, driver: o.driver, list: list}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)), w.Close())
	}
	if err := errors.Join(w.Commit(ctx), w.Close()); err != nil {
		return err
	}
	return translate(o.driver.Delete(ctx, "/"+from))
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
		list, err := o.pieces(ctx, folder+"/"+path.Base(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		st, err := o.driver.Stat(ctx, list[len(list)-1])
		if err = translate(err); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if st.ModTime().Before(before) {
			out = append(out, path.Base(n))
		}
	}
	return out, nil
}

// pieceReader reads the pieces of an upload one after the other.
type pieceReader struct {
	ctx    context.Context // of the call that made it, which outlives it
	driver storagedriver.StorageDriver
	list   []string
	now    io.ReadCloser
}

func (p *pieceReader) Read(b []byte) (int, error) {
	for {
		if p.now == nil {
			if len(p.list) == 0 {
				return 0, io.EOF
			}
			r, err := p.driver.Reader(p.ctx, p.list[0], 0)
			if err != nil {
				return 0, translate(err)
			}
			p.now, p.list = r, p.list[1:]
		}
		n, err := p.now.Read(b)
		if err == io.EOF {
			err = p.Close()
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (p *pieceReader) Close() error {
	if p.now == nil {
		return nil
	}
	r := p.now
	p.now = nil
	return r.Close()
}
