package source

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/hook"
	"towpath.dev/towpath/internal/store"
)

// tip is where a ref points, as the table knows it.
type tip struct{ object, commit string }

// move is a ref whose place differs from what the table says. A zero tip stands for
// "no such ref".
type move struct {
	ref      string
	from, to tip
	actor    string
}

// settle makes the table and the logbook say where the refs of a repository are. The
// caller holds the repository's gate, or is alone. It returns the repository, whose
// default branch may have been chosen now, and what was said.
func (s *Service) settle(ctx context.Context, r Repo) (Repo, []event.Fact, error) {
	refs, err := s.git.Tips(ctx, s.dir(r))
	if err != nil {
		return r, nil, err
	}
	known, err := s.tips(ctx, r)
	if err != nil {
		return r, nil, err
	}
	intents, actors, err := s.intents(ctx, r)
	if err != nil {
		return r, nil, err
	}
	refs = slices.DeleteFunc(refs, func(ref git.Ref) bool { return platform(ref.Name) })
	moves := compare(known, refs, actors)
	if r, err = s.chooseDefault(ctx, r, refs); err != nil {
		return r, nil, err
	}
	facts, err := s.facts(ctx, r, known, moves)
	if err != nil {
		return r, nil, err
	}
	if len(moves) == 0 && len(intents) == 0 {
		return r, nil, nil
	}
	err = s.db.Tx(ctx, func(tx *store.Tx) error { return s.record(ctx, tx, r, moves, intents, facts) })
	if err != nil {
		return r, nil, fmt.Errorf("recording a push to %s: %w", r.FullName(), err)
	}
	return r, facts, nil
}

// platform reports whether a ref is kept by the server for itself: nobody pushes it, and
// nothing is announced about it.
func platform(ref string) bool {
	return strings.HasPrefix(ref, "refs/pull/") || strings.HasPrefix(ref, "refs/internal/")
}

func (s *Service) tips(ctx context.Context, r Repo) (map[string]tip, error) {
	rows, err := s.db.Query(ctx, `SELECT ref, object_id, commit_id FROM source_ref WHERE repo = ?`, r.id)
	if err != nil {
		return nil, fmt.Errorf("loading the refs of %s: %w", r.FullName(), err)
	}
	defer rows.Close()
	known := map[string]tip{}
	for rows.Next() {
		var ref string
		var t tip
		if err := rows.Scan(&ref, &t.object, &t.commit); err != nil {
			return nil, fmt.Errorf("loading the refs of %s: %w", r.FullName(), err)
		}
		known[ref] = t
	}
	return known, rows.Err()
}

// intents returns the ids of the pushes begun and not settled, and who meant to move
// what: "ref new-object" → actor.
func (s *Service) intents(ctx context.Context, r Repo) (ids []string, actors map[string]string, err error) {
	rows, err := s.db.Query(ctx, `SELECT id, actor, moves FROM source_push WHERE repo = ? ORDER BY id`, r.id)
	if err != nil {
		return nil, nil, fmt.Errorf("loading the pushes of %s: %w", r.FullName(), err)
	}
	defer rows.Close()
	actors = map[string]string{}
	for rows.Next() {
		var id, actor, text string
		var moves []hook.Move
		if err := rows.Scan(&id, &actor, &text); err != nil {
			return nil, nil, fmt.Errorf("loading the pushes of %s: %w", r.FullName(), err)
		}
		if err := json.Unmarshal([]byte(text), &moves); err != nil {
			return nil, nil, fmt.Errorf("decoding push %s: %w", id, err)
		}
		ids = append(ids, id)
		for _, m := range moves {
			actors[m.Ref+" "+m.New] = actor
		}
	}
	return ids, actors, rows.Err()
}

// compare finds the moves from known to refs, sorted by ref. A move that nobody meant
// to make was made beside the server, by hand; it is said to be the system's.
func compare(known map[string]tip, refs []git.Ref, actors map[string]string) []move {
	var moves []move
	add := func(ref string, from, to tip) {
		object := to.object
		if object == "" {
			object = git.Zero
		}
		actor, ok := actors[ref+" "+object]
		if !ok {
			actor = identity.SystemActor("source").String()
		}
		moves = append(moves, move{ref: ref, from: from, to: to, actor: actor})
	}
	seen := map[string]bool{}
	for _, r := range refs {
		seen[r.Name] = true
		if from := known[r.Name]; from.object != r.Object {
			add(r.Name, from, tip{r.Object, r.Commit})
		}
	}
	for ref, from := range known {
		if !seen[ref] {
			add(ref, from, tip{})
		}
	}
	slices.SortFunc(moves, func(a, b move) int { return strings.Compare(a.ref, b.ref) })
	return moves
}

// chooseDefault makes the first branch the default one when the branch that was to be
// it does not exist: people push "master" or "trunk" too.
func (s *Service) chooseDefault(ctx context.Context, r Repo, refs []git.Ref) (Repo, error) {
	first := ""
	for _, ref := range refs {
		branch, ok := strings.CutPrefix(ref.Name, "refs/heads/")
		switch {
		case !ok:
		case branch == r.DefaultBranch:
			return r, nil
		case first == "" || branch == "master":
			first = branch
		}
	}
	if first == "" {
		return r, nil
	}
	if _, err := s.git.Run(ctx, s.dir(r), nil, 1<<10, "symbolic-ref", "HEAD", "refs/heads/"+first); err != nil {
		return r, fmt.Errorf("setting the default branch of %s: %w", r.FullName(), err)
	}
	r.DefaultBranch = first
	return r, nil
}

// record writes the new tips, strikes the intents and says the facts.
func (s *Service) record(ctx context.Context, tx *store.Tx, r Repo, moves []move, intents []string, facts []event.Fact) error {
	now := s.clock.Now().UnixMilli()
	if _, err := tx.Exec(ctx, `UPDATE source_repo SET default_branch = ? WHERE id = ?`, r.DefaultBranch, r.id); err != nil {
		return err
	}
	for _, m := range moves {
		var err error
		if m.to.object == "" {
			_, err = tx.Exec(ctx, `DELETE FROM source_ref WHERE repo = ? AND ref = ?`, r.id, m.ref)
		} else {
			_, err = tx.Exec(ctx, `INSERT INTO source_ref (repo, ref, object_id, commit_id, moved) VALUES (?,?,?,?,?)
				ON CONFLICT (repo, ref) DO UPDATE SET object_id = excluded.object_id, commit_id = excluded.commit_id, moved = excluded.moved`,
				r.id, m.ref, m.to.object, m.to.commit, now)
		}
		if err != nil {
			return err
		}
	}
	for _, id := range intents {
		if _, err := tx.Exec(ctx, `DELETE FROM source_push WHERE id = ?`, id); err != nil {
			return err
		}
	}
	if len(facts) == 0 {
		return nil
	}
	return s.log.Append(ctx, tx, facts...)
}

// facts says what the moves mean. A ref that points at something else than a commit,
// such as a tag of a blob, moves without being announced.
func (s *Service) facts(ctx context.Context, r Repo, known map[string]tip, moves []move) ([]event.Fact, error) {
	about, err := s.about(ctx, r, moves)
	if err != nil {
		return nil, err
	}
	fresh, err := s.fresh(ctx, r, known, moves)
	if err != nil {
		return nil, err
	}
	repo := event.Of(event.KindRepo, r.FullName())
	var facts []event.Fact
	for _, m := range moves {
		before := m.from.commit
		if before == "" {
			before = git.Zero
		}
		f := event.Fact{Project: r.Project, Actor: m.actor}
		switch {
		case m.to.object == "":
			f.Type, f.Subject = event.TypeRefDeleted, repo
			f.Payload = event.RefDeleted{V: 1, Ref: m.ref, Before: before}
		case m.to.commit == "":
			continue
		default:
			c := about[m.to.commit]
			f.Type, f.Subject = event.TypeCommitPushed, event.Of(event.KindCommit, m.to.commit)
			f.Links = []event.Link{{Rel: event.RelInto, To: repo}}
			f.Payload = event.CommitPushed{
				V: 1, Repo: r.FullName(), Ref: m.ref, Before: before, Commit: m.to.commit, Title: shorten(c.Title, 200),
				Author: shorten(c.Author.Name, 200), Authored: c.Author.When.UTC(), Commits: reach(fresh, m.to.commit, 1000),
				Default: m.ref == "refs/heads/"+r.DefaultBranch,
			}
		}
		facts = append(facts, f)
	}
	return facts, nil
}

// about loads the commits that refs moved to.
func (s *Service) about(ctx context.Context, r Repo, moves []move) (map[string]git.Commit, error) {
	var hashes []string
	for _, m := range moves {
		if m.to.commit != "" {
			hashes = append(hashes, m.to.commit)
		}
	}
	slices.Sort(hashes)
	commits, err := s.git.Commits(ctx, s.dir(r), slices.Compact(hashes))
	if err != nil {
		return nil, err
	}
	about := make(map[string]git.Commit, len(commits))
	for _, c := range commits {
		about[c.Hash] = c
	}
	return about, nil
}

// fresh returns the commits that no ref reached before these moves.
func (s *Service) fresh(ctx context.Context, r Repo, known map[string]tip, moves []move) (map[string][]string, error) {
	var tips, old []string
	for _, m := range moves {
		if m.to.commit != "" {
			tips = append(tips, m.to.commit)
		}
	}
	if len(tips) == 0 {
		return nil, nil
	}
	for _, t := range known {
		if t.commit != "" {
			old = append(old, t.commit)
		}
	}
	return s.git.Fresh(ctx, s.dir(r), tips, old)
}

// reach counts the commits of the graph that are reachable from one, up to limit.
func reach(graph map[string][]string, from string, limit int) int {
	if _, ok := graph[from]; !ok {
		return 0
	}
	seen := map[string]bool{from: true}
	for todo := []string{from}; len(todo) > 0 && len(seen) < limit; {
		parents := graph[todo[len(todo)-1]]
		todo = todo[:len(todo)-1]
		for _, p := range parents {
			if _, ok := graph[p]; ok && !seen[p] {
				seen[p] = true
				todo = append(todo, p)
			}
		}
	}
	return min(len(seen), limit)
}

// shorten cuts s to at most limit bytes, at the boundary of a character.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// greeting is what the pusher reads: what moved, and where to look.
func (s *Service) greeting(p *push, moves []hook.Move, facts []event.Fact) string {
	var b strings.Builder
	if p.made {
		fmt.Fprintf(&b, "Towpath made the repository %s.\n", p.repo.FullName())
	}
	mine := map[string]bool{}
	for _, m := range moves {
		mine[m.Ref] = true
	}
	shown := 0
	for _, f := range facts {
		c, ok := f.Payload.(event.CommitPushed)
		if !ok || !mine[c.Ref] {
			continue
		}
		if shown++; shown > 5 {
			continue
		}
		fmt.Fprintf(&b, "Towpath: %s is now %s (%s)\n", strings.TrimPrefix(c.Ref, "refs/heads/"), c.Commit[:10], plural(c.Commits, "new commit"))
	}
	if shown > 5 {
		fmt.Fprintf(&b, "Towpath: and %s\n", plural(shown-5, "more ref"))
	}
	if shown > 0 && s.opts.PublicURL != "" {
		fmt.Fprintf(&b, "Follow it at %s/projects/%s\n", strings.TrimSuffix(s.opts.PublicURL, "/"), p.repo.Project)
	}
	return b.String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
