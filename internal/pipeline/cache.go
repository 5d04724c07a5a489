package pipeline

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
	"towpath.dev/towpath/internal/store"
)

// The cache of Cache@2 (K027). An entry belongs to the pipeline and the ref that wrote it and
// is never written again. A run reads what its own ref wrote and what the default branch did,
// that of a pull request also what its target did. It writes for its own ref alone: what a
// pull request leaves here nobody but itself ever sees, so it can poison nobody.

// maxRestore bounds the prefixes of a query.
const maxRestore = 50

// cacheScopes are the refs whose entries a run may read, its own first. They come from the
// run, never from what an agent says.
func (s *Service) cacheScopes(ctx context.Context, r *runRow) ([]string, error) {
	out := []string{r.Ref}
	if r.Pull > 0 {
		pull, err := s.pullOrder(ctx, r.Number)
		if err != nil {
			return nil, err
		}
		out = append(out, pull.Target)
	}
	main, _, _, err := s.source.Resolve(ctx, system(), r.Repo, "")
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, fmt.Errorf("asking for the default branch of %s: %w", r.Repo, err)
	}
	if err == nil {
		out = append(out, main)
	}
	return out, nil
}

// cacheKey refuses keys that are none.
func cacheKey(key string) error {
	if key == "" || len(key) > protocol.MaxCacheKey || strings.ContainsAny(key, "\n\x00") || strings.Trim(key, "| ") == "" {
		return fault.New(fault.Invalid, "The key of a cache has 1 to %d bytes in one line.", protocol.MaxCacheKey)
	}
	return nil
}

func (s *Service) serveCacheFind(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	var in protocol.CacheQuery
	if err := decode(w, r, &in); err != nil {
		return err
	}
	if len(in.Restore) > maxRestore {
		return fault.New(fault.Invalid, "A cache has at most %d restore keys.", maxRestore)
	}
	for _, k := range append([]string{in.Key}, in.Restore...) {
		if err := cacheKey(k); err != nil {
			return err
		}
	}
	run, err := s.loadRun(r.Context(), s.db, row.run)
	if err != nil {
		return err
	}
	scopes, err := s.cacheScopes(r.Context(), run)
	if err != nil {
		return err
	}
	found, err := s.findCache(r.Context(), run, scopes, in)
	if err != nil {
		return err
	}
	answer(w, http.StatusOK, found)
	return nil
}

// findCache looks for the key in every scope, then for each prefix in its turn.
func (s *Service) findCache(ctx context.Context, run *runRow, scopes []string, in protocol.CacheQuery) (protocol.CacheReply, error) {
	for i, key := range append([]string{in.Key}, in.Restore...) {
		for _, scope := range scopes {
			reply, err := s.findIn(ctx, run, scope, key, i == 0)
			if err != nil || reply.ID != "" {
				reply.Exact = reply.ID != "" && reply.Key == in.Key
				return reply, err
			}
		}
	}
	return protocol.CacheReply{}, nil
}

// findIn looks for an entry of one scope; of those with a prefix it takes the newest.
func (s *Service) findIn(ctx context.Context, run *runRow, scope, key string, exact bool) (protocol.CacheReply, error) {
	out := protocol.CacheReply{Scope: scope}
	where, args := `name = ?`, []any{run.Repo, run.File, scope, key}
	if !exact {
		prefix := strings.TrimSuffix(key, "|") + "|"
		where, args = `(name = ? OR SUBSTR(name, 1, ?) = ?)`, []any{run.Repo, run.File, scope, strings.TrimSuffix(key, "|"), len([]rune(prefix)), prefix}
	}
	err := s.db.QueryRow(ctx, `SELECT id, name, bytes FROM pipeline_cache WHERE repo = ? AND file = ? AND scope = ? AND `+where+` ORDER BY created DESC, id DESC LIMIT 1`, args...).
		Scan(&out.ID, &out.Key, &out.Bytes)
	if errors.Is(err, sql.ErrNoRows) {
		return protocol.CacheReply{}, nil
	}
	if err != nil {
		return out, fmt.Errorf("looking for the cache %q: %w", key, err)
	}
	return out, nil
}

// serveCacheRead hands out an entry that the run may read.
func (s *Service) serveCacheRead(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	run, err := s.loadRun(r.Context(), s.db, row.run)
	if err != nil {
		return err
	}
	scopes, err := s.cacheScopes(r.Context(), run)
	if err != nil {
		return err
	}
	gone := fault.New(fault.NotFound, "There is no such cache, or it is not for this run.")
	var scope, digest string
	err = s.db.QueryRow(r.Context(), `SELECT scope, digest FROM pipeline_cache WHERE id = ? AND repo = ? AND file = ?`, r.PathValue("entry"), run.Repo, run.File).Scan(&scope, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		return gone
	}
	if err != nil {
		return fmt.Errorf("reading a cache: %w", err)
	}
	readable := false
	for _, s := range scopes {
		readable = readable || s == scope
	}
	if !readable {
		return gone
	}
	body, err := s.blobs.Open(r.Context(), digest, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	err = s.again(r.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(r.Context(), `UPDATE pipeline_cache SET used = ? WHERE id = ?`, millis(s.clock.Now()), r.PathValue("entry"))
		return err
	})
	if err != nil {
		return fmt.Errorf("noting the use of a cache: %w", err)
	}
	w.Header().Set("Content-Type", "application/zstd")
	if _, err := io.Copy(w, body); err != nil {
		// The answer has begun: breaking it off is all that can tell the agent.
		conn, _, herr := http.NewResponseController(w).Hijack()
		if herr == nil {
			herr = conn.Close()
		}
		s.logger.Error("sending a cache", "error", errors.Join(err, herr))
	}
	return nil
}

// serveCacheWrite keeps an entry for the ref of the run. One that is there already stays:
// keys are written once.
func (s *Service) serveCacheWrite(w http.ResponseWriter, r *http.Request) error {
	row, err := s.job(r)
	if err != nil {
		return err
	}
	key := r.URL.Query().Get("key")
	if err := cacheKey(key); err != nil {
		return err
	}
	run, err := s.loadRun(r.Context(), s.db, row.run)
	if err != nil {
		return err
	}
	there, err := s.findIn(r.Context(), run, run.Ref, key, true)
	if err != nil {
		return err
	}
	if there.ID != "" {
		return fault.New(fault.Conflict, "The cache %q is there already.", key)
	}
	mark, err := uniqueFrame()
	if err != nil {
		return err
	}
	digest, size, err := s.blobs.Put(r.Context(), io.MultiReader(bytes.NewReader(mark), r.Body), "", min(protocol.MaxCache, s.opts.CacheLimit))
	if err != nil {
		return err
	}
	var dropped []string
	err = s.again(r.Context(), func(tx *store.Tx) error {
		res, err := tx.Exec(r.Context(), `INSERT INTO pipeline_cache (id, repo, file, scope, name, digest, bytes, run, created, used) VALUES (?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (repo, file, scope, name) DO NOTHING`,
			s.clock.NewID(), run.Repo, run.File, run.Ref, key, digest, size, run.Number, millis(s.clock.Now()), millis(s.clock.Now()))
		if err != nil {
			return fmt.Errorf("adding the cache %q: %w", key, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fault.New(fault.Conflict, "The cache %q is there already.", key))
		}
		dropped, err = s.evict(r.Context(), tx, run.Repo)
		return err
	})
	if err != nil {
		dropped = []string{digest}
	}
	for _, d := range dropped {
		if derr := s.blobs.Delete(context.WithoutCancel(r.Context()), d); derr != nil && !fault.Is(derr, fault.NotFound) {
			s.logger.Error("removing a cache", "digest", d, "error", derr)
		}
	}
	if err == nil {
		answer(w, http.StatusOK, protocol.CacheReply{Key: key, Scope: run.Ref, Bytes: size})
	}
	return err
}

// evict removes the entries of a repository that were not used for longest, until the rest
// fits, and returns their digests.
func (s *Service) evict(ctx context.Context, tx *store.Tx, repo string) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT id, digest, bytes FROM pipeline_cache WHERE repo = ? ORDER BY used DESC, id DESC`, repo)
	if err != nil {
		return nil, fmt.Errorf("reading the caches of %s: %w", repo, err)
	}
	var ids, digests []string
	var total int64
	for rows.Next() {
		var id, digest string
		var size int64
		if err := rows.Scan(&id, &digest, &size); err != nil {
			return nil, errors.Join(fmt.Errorf("reading the caches of %s: %w", repo, err), rows.Close())
		}
		if total += size; total > s.opts.CacheLimit {
			ids, digests = append(ids, id), append(digests, digest)
			total -= size
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the caches of %s: %w", repo, err)
	}
	for _, id := range ids {
		if _, err := tx.Exec(ctx, `DELETE FROM pipeline_cache WHERE id = ?`, id); err != nil {
			return nil, fmt.Errorf("removing a cache of %s: %w", repo, err)
		}
	}
	return digests, nil
}

// uniqueFrame is a zstd frame that readers skip and no two entries share. Blobs are found by
// what is in them and kept once: an entry with bytes that somebody else keeps too, a layer
// of an image perhaps, would take those away when it is evicted.
func uniqueFrame() ([]byte, error) {
	frame := binary.LittleEndian.AppendUint32(nil, 0x184D2A50)
	frame = binary.LittleEndian.AppendUint32(frame, 16)
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("drawing a random number: %w", err)
	}
	return append(frame, random[:]...), nil
}
