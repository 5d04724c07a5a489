package protect

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/secret"
)

// blob is a new file content.
type blob struct {
	hash  string
	size  int64
	found []secret.Finding // by a scan without a path
}

// maxFound bounds what one push keeps in memory of its findings; what is beyond it is
// found by the next push.
const maxFound = 2000

// stream runs git and gives what it prints to read. in is written beside that.
func (s *Service) stream(ctx context.Context, dir string, env []string, in io.Reader, read func(*bufio.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.parts.Git.Command(ctx, dir, args...)
	cmd.Env = append(cmd.Env, env...)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = in, &limited{to: &said, left: 4 << 10}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return fmt.Errorf("starting git %s: %w", args[0], err)
	}
	failed := read(bufio.NewReaderSize(out, 256<<10))
	if failed != nil {
		cancel()
	}
	err = cmd.Wait()
	switch {
	case failed != nil:
		return fmt.Errorf("reading from git %s: %w", args[0], failed)
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("running git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return nil
}

// limited passes the first bytes on and swallows the rest.
type limited struct {
	to   io.Writer
	left int
}

// Write never fails, so that the child ends by itself.
func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, err := l.to.Write(p[:n])
	return len(p), err
}

// alone are the variables with which git sees nothing but a quarantine.
func alone(objects string) []string { return []string{"GIT_OBJECT_DIRECTORY=" + objects} }

// newBlobs lists the contents in the quarantine. A pack that was sent thin has been
// completed with objects that the repository has; those are among them.
func (s *Service) newBlobs(ctx context.Context, dir, objects string) ([]*blob, error) {
	var blobs []*blob
	read := func(out *bufio.Reader) error {
		for {
			line, err := out.ReadString('\n')
			if err == io.EOF && line == "" {
				return nil
			}
			if err != nil {
				return err
			}
			hash, kind, size, err := parseInfo(line)
			if err != nil {
				return err
			}
			if kind == "blob" && size > 0 {
				blobs = append(blobs, &blob{hash: hash, size: size})
			}
		}
	}
	err := s.stream(ctx, dir, alone(objects), nil, read, "cat-file", "--batch-all-objects", "--batch-check", "--unordered")
	return blobs, err
}

// parseInfo reads "<hash> <type> <size>\n".
func parseInfo(line string) (hash, kind string, size int64, err error) {
	f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	if len(f) == 3 && git.IsHash(f[0]) {
		size, err = strconv.ParseInt(f[2], 10, 64)
		if err == nil && size >= 0 {
			return f[0], f[1], size, nil
		}
	}
	return "", "", 0, fmt.Errorf("git said %.100q about an object", line)
}

// usual is a size of buffers that fits most files.
const usual = 256 << 10

// contents reads blobs in order and gives each with its first MaxScan bytes to use, which
// owns data until it returns. One git process reads; use runs on as many goroutines as
// there are workers.
func (s *Service) contents(ctx context.Context, dir string, env []string, blobs []*blob, use func(*blob, []byte)) error {
	type load struct {
		b    *blob
		data []byte
	}
	work := make(chan load)
	free := make(chan []byte, s.opts.Workers+1) // Buffers for reuse.
	var done sync.WaitGroup
	for range s.opts.Workers {
		done.Go(func() {
			for l := range work {
				use(l.b, l.data)
				select {
				case free <- l.data:
				default:
				}
			}
		})
	}
	defer done.Wait()
	defer close(work)
	read := func(out *bufio.Reader) error {
		for _, b := range blobs {
			line, err := out.ReadString('\n')
			if err != nil {
				return err
			}
			hash, kind, size, err := parseInfo(line)
			if err != nil || hash != b.hash || kind != "blob" {
				return fmt.Errorf("git said %.100q when asked for %s", line, b.hash)
			}
			n := int(min(size, s.opts.MaxScan))
			var data []byte
			select {
			case data = <-free:
			default:
			}
			if cap(data) < n {
				data = make([]byte, max(n, usual))
			}
			data = data[:n]
			if _, err := io.ReadFull(out, data); err != nil {
				return err
			}
			if _, err := io.CopyN(io.Discard, out, size-int64(n)+1); err != nil {
				return err
			}
			select {
			case work <- load{b, data}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	return s.stream(ctx, dir, env, ask(blobs), read, "cat-file", "--batch", "--buffer")
}

// ask is the list of hashes that git is asked for.
func ask(blobs []*blob) io.Reader {
	var b strings.Builder
	b.Grow(len(blobs) * 41)
	for _, x := range blobs {
		b.WriteString(x.hash)
		b.WriteByte('\n')
	}
	return strings.NewReader(b.String())
}

// scan looks for secrets in new blobs and returns those with findings, in the order of
// blobs.
func (s *Service) scan(ctx context.Context, dir, objects string, blobs []*blob) ([]*blob, error) {
	err := s.contents(ctx, dir, alone(objects), blobs, func(b *blob, data []byte) {
		b.found = s.engine.Scan("", data)
	})
	if err != nil {
		return nil, err
	}
	var out []*blob
	kept := 0
	for _, b := range blobs {
		if len(b.found) > 0 && kept < maxFound {
			kept += len(b.found)
			out = append(out, b)
		}
	}
	return out, nil
}

// present returns which of the objects the repository has, without those of the push.
func (s *Service) present(ctx context.Context, dir string, hashes []string) (map[string]bool, error) {
	have := map[string]bool{}
	if len(hashes) == 0 {
		return have, nil
	}
	objects, err := s.parts.Git.Info(ctx, dir, hashes...)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o.Hash != "" {
			have[o.Hash] = true
		}
	}
	return have, nil
}
