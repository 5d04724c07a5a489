package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// maxUnpackedCache bounds what an entry may become when it is unpacked, in bytes.
const maxUnpackedCache = 16 << 30

// runCache is Cache@2 (K027): it brings back what an earlier run has left under the key, or
// under one that begins as a restore key does, and keeps the path under the key at the end of
// a job that succeeded, when the key was not there.
func runCache(ctx context.Context, s *stepRun) error {
	key, err := s.cacheKey(s.input("key"))
	if err != nil {
		return fmt.Errorf("the key of the cache: %w", err)
	}
	query := protocol.CacheQuery{Key: key}
	for line := range strings.Lines(s.input("restoreKeys")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		prefix, err := s.cacheKey(line)
		if err != nil {
			return fmt.Errorf("the restore key %q: %w", line, err)
		}
		query.Restore = append(query.Restore, strings.TrimSuffix(prefix, "|**")+"|")
	}
	paths, err := s.cachePaths()
	if err != nil {
		return err
	}
	s.print("Key: " + key)
	var found protocol.CacheReply
	if err := s.agent.client.call(ctx, "jobs/"+s.job.ID+"/cache/find", s.job.Lease, query, &found); err != nil {
		return fmt.Errorf("looking for the cache: %w", err)
	}
	hit := "false"
	switch {
	case found.ID == "":
		s.print("There is no cache of this key yet.")
	default:
		if hit = "inexact"; found.Exact {
			hit = "true"
		}
		if err := s.restoreCache(ctx, found); err != nil {
			return err
		}
	}
	if name := s.input("cacheHitVar"); name != "" {
		s.vars.Set(plan.Value{Name: name, Text: hit})
	}
	if !found.Exact {
		s.jobRun.later = append(s.jobRun.later, func(ctx context.Context) { s.keepCache(ctx, key, paths) })
	}
	return nil
}

// cachePaths are the folders and files to keep, relative to the workspace.
func (s *stepRun) cachePaths() ([]string, error) {
	var out []string
	for line := range strings.Lines(s.input("path")) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		rel, err := s.space.inside(s.space.path(dirSources), line)
		if err != nil {
			return nil, err
		}
		if rel == "." {
			return nil, errors.New("the whole workspace cannot be cached; name a folder in it")
		}
		out = append(out, rel)
	}
	if len(out) == 0 {
		return nil, errors.New("the input path is empty")
	}
	return out, nil
}

func (s *stepRun) restoreCache(ctx context.Context, found protocol.CacheReply) error {
	res, err := s.agent.client.send(ctx, http.MethodGet, "jobs/"+s.job.ID+"/cache/"+url.PathEscape(found.ID), s.job.Lease, nil, nil)
	if err != nil {
		return fmt.Errorf("fetching the cache: %w", err)
	}
	defer res.Body.Close()
	dec, err := zstd.NewReader(res.Body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
	if err != nil {
		return err
	}
	defer dec.Close()
	n, err := s.space.unpack(io.LimitReader(dec, maxUnpackedCache), ".", nil)
	if err != nil {
		return fmt.Errorf("unpacking the cache: %w", err)
	}
	s.print(fmt.Sprintf("Restored %d files, %d bytes packed, from %s of %s", n, found.Bytes, found.Key, found.Scope))
	return nil
}

// keepCache keeps what the paths hold. That it cannot be kept fails no job.
func (s *stepRun) keepCache(ctx context.Context, key string, paths []string) {
	var entries []entry
	for _, p := range paths {
		found, err := s.space.tree(p, nil)
		if err != nil {
			s.print("##[warning]Not kept: " + err.Error())
			return
		}
		for _, e := range found {
			entries = append(entries, entry{name: filepath.ToSlash(e.path), path: e.path})
		}
	}
	if len(entries) == 0 {
		s.print("##[warning]Not kept: there are no files at the path.")
		return
	}
	body, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		enc, err := zstd.NewWriter(writer, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err == nil {
			err = errors.Join(s.space.pack(enc, entries), enc.Close())
		}
		packed <- err
		_ = writer.CloseWithError(err)
	}()
	res, err := s.agent.client.send(ctx, http.MethodPut, "jobs/"+s.job.ID+"/cache?key="+url.QueryEscape(key), s.job.Lease, body, nil)
	_ = body.CloseWithError(io.ErrClosedPipe)
	perr := <-packed
	var said *refusal
	switch {
	case errors.As(err, &said) && said.status == http.StatusConflict:
		s.print("Another run has kept the key meanwhile; keys are written once.")
	case err != nil:
		s.print("##[warning]Not kept: " + err.Error())
	case perr != nil:
		drain(res.Body)
		s.print("##[warning]Not kept: " + perr.Error())
	default:
		defer drain(res.Body)
		var reply protocol.CacheReply
		if err := json.NewDecoder(io.LimitReader(res.Body, protocol.MaxJSON)).Decode(&reply); err != nil {
			s.print("##[warning]Not kept: " + err.Error())
			return
		}
		s.print(fmt.Sprintf("Kept %d entries, %d bytes packed, as %s for %s", len(entries), reply.Bytes, key, reply.Scope))
	}
}

// cacheKey makes a key of its segments: words stay, files become the digest of what is in
// them. A segment in quotes is always a word.
func (s *stepRun) cacheKey(text string) (string, error) {
	var out []string
	for segment := range strings.SplitSeq(text, "|") {
		segment = strings.TrimSpace(segment)
		switch {
		case segment == "":
			return "", errors.New("a segment is empty")
		case strings.HasPrefix(segment, "\"") && strings.HasSuffix(segment, "\"") && len(segment) > 1:
			segment = strings.Trim(segment, "\"")
		case segment != "**" && namesFiles(segment):
			digest, err := s.digestFiles(segment)
			if err != nil {
				return "", err
			}
			segment = digest
		}
		out = append(out, segment)
	}
	key := strings.Join(out, "|")
	if len(key) > protocol.MaxCacheKey {
		return "", fmt.Errorf("it has more than %d bytes", protocol.MaxCacheKey)
	}
	return key, nil
}

// namesFiles reports whether a segment means files, as the service decides it: it could be a
// path, and has a dot that is not its end, or a slash.
func namesFiles(segment string) bool {
	if strings.ContainsAny(segment, "\x00<>\"") || strings.HasSuffix(segment, ".") {
		return false
	}
	return strings.ContainsAny(segment, "./\\")
}

// digestFiles is the digest of the files that patterns match: of their names, relative to the
// sources, and of what is in them.
func (s *stepRun) digestFiles(segment string) (string, error) {
	base := s.space.path(dirSources)
	var patterns []string
	for p := range strings.SplitSeq(segment, ",") {
		p = strings.TrimSpace(p)
		bare, not := strings.CutPrefix(p, "!")
		if filepath.IsAbs(bare) {
			rel, err := filepath.Rel(base, bare)
			if err != nil {
				return "", err
			}
			bare = filepath.ToSlash(rel)
		}
		if not {
			bare = "!" + bare
		}
		patterns = append(patterns, bare)
	}
	rel, err := s.space.inside(base, base)
	if err != nil {
		return "", err
	}
	files, err := s.space.glob(rel, patterns)
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", fmt.Errorf("no file matches %s; write the segment in quotes if it is a word", segment)
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, name := range files {
		f, info, err := s.space.open(name)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", name, err)
		}
		fmt.Fprintf(sum, "%d %s %d\n", len(name), path.Clean(filepath.ToSlash(name)), info.Size())
		_, err = io.CopyN(sum, f, info.Size())
		if err := errors.Join(err, f.Close()); err != nil {
			return "", fmt.Errorf("reading %s: %w", name, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
