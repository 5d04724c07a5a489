package insight_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
	"towpath.dev/towpath/internal/work"
	"towpath.dev/towpath/internal/work/insight"
)

var update = flag.Bool("update", false, "write what the stories lead to")

// TestStories plays what happened, and compares which items are there with what is written
// beside it. A line of a story is one of
//
//	TYPE SUBJECT PAYLOAD [-> REL SUBJECT]…   an event; @word is a commit, #word a digest
//	wait 5m                                  time goes by
//	found images|code REPO [FINDING, …]      what is known against a repository
//	show                                     how the items stand
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.story")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".story"), func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				w := build(t, db, insight.Options{})
				w.sprint(t)
				got := w.play(t, string(text))
				want := strings.TrimSuffix(path, ".story") + ".want"
				if *update {
					if err := os.WriteFile(want, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				text, err = os.ReadFile(want)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(text), got); diff != "" {
					t.Errorf("items (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// sprint makes a sprint that is current, and one after it.
func (w *world) sprint(t testing.TB) {
	t.Helper()
	text := func(s string) *string { return &s }
	yes := true
	for _, e := range []work.SprintEdit{
		{Name: text("one"), Start: text("2026-03-02"), End: text("2026-03-13"), Active: &yes},
		{Name: text("two"), Start: text("2026-03-16"), End: text("2026-03-27")},
	} {
		if _, err := w.items.CreateSprint(t.Context(), insight.Actor(), "shop", e); err != nil {
			t.Fatal(err)
		}
	}
}

var word = regexp.MustCompile(`([@#])([a-z0-9]+)`)

// spelled writes hashes for the words of a story.
func spelled(line string) string {
	return word.ReplaceAllStringFunc(line, func(s string) string {
		if s[0] == '#' {
			return "sha256:" + (sha(s[1:]) + sha(s[1:]))[:64]
		}
		return sha(s[1:])
	})
}

func (w *world) play(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || verb == "#":
		case verb == "show":
			out.WriteString(w.standing(t) + "\n")
		case verb == "wait":
			d, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(t, d)
		case verb == "found":
			w.find(t, spelled(rest))
		default:
			w.clock.Add(time.Second)
			w.say(t, fact(t, spelled(line)))
		}
	}
	return out.String()
}

func (w *world) find(t *testing.T, line string) {
	t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	repo, findings, _ := strings.Cut(rest, " ")
	var list []insight.Finding
	if err := json.Unmarshal([]byte(findings), &list); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if kind == "images" {
		w.shelf.images[repo] = list
	} else {
		w.shelf.code[repo] = list
	}
}

// fact reads a line of a story.
func fact(t *testing.T, line string) event.Fact {
	t.Helper()
	said, edges, _ := strings.Cut(line, " -> ")
	parts := strings.SplitN(said, " ", 3)
	if len(parts) != 3 || !json.Valid([]byte(parts[2])) {
		t.Fatalf("no event: %s", line)
	}
	f := event.Fact{Type: parts[0], Subject: event.Subject(parts[1]), Project: "shop", Actor: "system:test", Payload: json.RawMessage(parts[2])}
	if f.Type == event.TypeAdvisoriesLoaded {
		f.Project = ""
	}
	for edge := range strings.SplitSeq(edges, " -> ") {
		if rel, to, ok := strings.Cut(edge, " "); ok {
			f.Links = append(f.Links, event.Link{Rel: rel, To: event.Subject(to)})
		}
	}
	return f
}

// standing writes how the items and their signals stand.
func (w *world) standing(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "== %s\n", w.clock.Now().Format("15:04:05"))
	for _, i := range w.all(t) {
		fmt.Fprintf(&b, "%s %d [%s] %s\n  severity %s, sprint %q, assignee %q, seen %d times\n", i.Type, i.Number, i.Category, i.Title, i.Severity, i.Sprint, i.Assignee, i.Insight.Count)
		c, err := w.Cause(t.Context(), insight.Actor(), "shop", i.Number)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range c.Suspects {
			fmt.Fprintf(&b, "  suspects %s by %s\n", k.Title, k.Author)
		}
		for _, s := range c.Signals {
			fmt.Fprintf(&b, "  %s %s: %s, %d times", s.Source, s.Resource, s.State, s.Count)
			if s.Why != "" {
				fmt.Fprintf(&b, " (%s)", strings.ReplaceAll(s.Why, "\n", " "))
			}
			b.WriteString("\n")
		}
		d, err := w.items.Get(t.Context(), insight.Actor(), i.Number)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.Comments {
			first, _, _ := strings.Cut(c.Body, "\n")
			fmt.Fprintf(&b, "  %s says: %s\n", c.Author, first)
		}
	}
	return b.String()
}
