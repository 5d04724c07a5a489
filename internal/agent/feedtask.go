package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/pipeline/feed"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// runPackage is the step getPackage: the files of a package come into a folder of the workspace
// that is called as the resource, or into path.
func runPackage(ctx context.Context, s *stepRun) error {
	return s.fetchFeed(ctx, plan.FeedPackage, s.input("package"), nil)
}

// runBuild is the step downloadBuild: what a build has archived comes into a folder that is
// called as the resource, or into path; artifact is the folder or the file of it that is
// wanted, patterns choose among them.
func runBuild(ctx context.Context, s *stepRun) error {
	artifact, patterns := strings.Trim(s.input("artifact"), "/"), s.input("patterns")
	lines := strings.Split(patterns, "\n")
	return s.fetchFeed(ctx, plan.FeedBuild, s.input("build"), func(path string) bool {
		if artifact != "" && path != artifact && !strings.HasPrefix(path, artifact+"/") {
			return false
		}
		rest := strings.TrimPrefix(path, artifact+"/")
		return patterns == "" || matchAny(lines, path) || matchAny(lines, rest)
	})
}

// fetchFeed fetches a package or a build.
func (s *stepRun) fetchFeed(ctx context.Context, kind, alias string, keep feed.Keep) error {
	f, source, err := s.feedSource(kind, alias)
	if err != nil {
		return err
	}
	to := s.input("path")
	if to == "" {
		to = s.space.path(f.Alias)
	} else if !filepath.IsAbs(to) {
		to = s.space.path(to)
	}
	rel, err := s.space.inside(s.space.path(dirSources), to)
	if err != nil {
		return err
	}
	client, version := feed.New(nil), f.Used
	if version == "" {
		if version, err = client.Resolve(ctx, source); err != nil {
			return errors.New(feed.Words(err))
		}
	}
	s.print(fmt.Sprintf("Fetching %s %s from %s", f.Name, version, f.Connection))
	files, bytes := 0, int64(0)
	err = client.Fetch(ctx, source, version, keep, func(name string, r io.Reader) error {
		counted := &countingReader{r: r}
		at := filepath.ToSlash(filepath.Join(rel, filepath.FromSlash(name)))
		if err := s.space.mkdirAll(filepath.ToSlash(filepath.Dir(at))); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := s.space.root.Remove(at); err == nil {
			s.print("##[debug]" + name + " was there and is replaced.")
		}
		if err := s.space.create(at, counted, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		files, bytes = files+1, bytes+counted.n
		return nil
	})
	if err != nil {
		return errors.New(feed.Words(err))
	}
	if files == 0 {
		return fmt.Errorf("%s %s has no file that is wanted; look at artifact and patterns", f.Name, version)
	}
	s.setOutput(s.outputName(), "version", plan.Value{Text: version})
	s.print(fmt.Sprintf("%d files, %d bytes, are in %s", files, bytes, to))
	return nil
}

// feedSource is a package or a build with the connection that the job was lent for it.
func (s *stepRun) feedSource(kind, alias string) (plan.Feed, feed.Source, error) {
	for _, f := range s.job.Feeds {
		if f.Kind != kind || !strings.EqualFold(f.Alias, alias) {
			continue
		}
		for _, c := range s.job.Connections {
			if !strings.EqualFold(c.Name, f.Connection) {
				continue
			}
			header := map[string]string{}
			if text := c.Authorization(); text != "" {
				header["Authorization"] = text
			}
			return f, feed.Source{
				Type: f.Type, URL: c.URL, Header: header, Name: f.Name, Version: s.expand(f.Version), Tag: s.expand(f.Tag), Branch: s.expand(f.Branch),
			}, nil
		}
		return f, feed.Source{}, fmt.Errorf("the job was not lent the service connection %s; see that the project has it, and that the run is of no pull request, which gets nothing that opens a server", f.Connection)
	}
	return plan.Feed{}, feed.Source{}, fmt.Errorf("the %s %s is no resource of the pipeline", kind, alias)
}

// countingReader counts what it gives.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
