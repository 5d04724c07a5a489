package web

import (
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/web/page"
)

const (
	// pullsPerPage is how many pull requests a page lists.
	pullsPerPage = 50
	// countedPulls bounds the numbers on the filters and in the navigation.
	countedPulls = 200
	// maxReviewers is how many people one form may ask.
	maxReviewers = 20
)

// pullFilters are the pills above the pull requests; the first shows those that are open.
var pullFilters = []struct {
	key, text string
	narrow    func(f *pull.Filter, me string)
	count     bool
}{
	{"", "Open", func(*pull.Filter, string) {}, true},
	{"mine", "Mine", func(f *pull.Filter, me string) { f.Author = me }, true},
	{"review", "Awaiting my review", func(f *pull.Filter, me string) { f.Reviewer = me }, true},
	{"merged", "Merged", func(f *pull.Filter, _ string) { f.State = pull.Merged }, false},
	{"closed", "Closed", func(f *pull.Filter, _ string) { f.State = pull.Closed }, false},
}

func (h *handler) pulls(w http.ResponseWriter, r request) error {
	s, err := h.live(w, r, "pulls", "Pull requests", page.Crumb{Text: "pull requests"})
	if err != nil {
		return err
	}
	v := page.PullList{Query: r.query("q")}
	show := r.query("show")
	want := pull.Filter{Limit: pullsPerPage, Text: v.Query}
	for _, f := range pullFilters {
		on, count := f.key == show, -1
		if on {
			f.narrow(&want, r.actor.Name)
		}
		if f.count {
			one := pull.Filter{Limit: countedPulls, Text: v.Query}
			f.narrow(&one, r.actor.Name)
			list, _, err := h.Pulls.List(r.Context(), r.actor, r.project(), one)
			if err != nil {
				return err
			}
			count = len(list)
		}
		v.Filters = append(v.Filters, page.Filter{Key: f.key, Text: f.text, Count: count, On: on, Href: s.At("/pulls" + page.Query("show", f.key, "q", v.Query))})
	}
	want.Skip, _ = strconv.Atoi(r.query("skip"))
	want.Skip = min(max(want.Skip, 0), 1<<20)
	list, more, err := h.Pulls.List(r.Context(), r.actor, r.project(), want)
	if err != nil {
		return err
	}
	v.Pulls = list
	if more {
		v.More = s.At("/pulls" + page.Query("show", show, "q", v.Query, "skip", strconv.Itoa(want.Skip+pullsPerPage)))
	}
	if v.Repos, err = h.Source.Repos(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	return h.render(w, r, page.PullsPage(s, v))
}

// newPull shows what a pull request would bring before it is opened.
func (h *handler) newPull(w http.ResponseWriter, r request) error {
	s := h.room(w, r, "pulls", "New pull request", page.Crumb{Text: "pull requests", Href: "/projects/" + r.project() + "/pulls"}, page.Crumb{Text: "new"})
	v := page.NewPull{Source: r.query("source"), Target: r.query("target")}
	var err error
	if v.Repos, err = h.Source.Repos(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	v.Repo = chosenRepo(v.Repos, r.query("repo"))
	if v.Repo.Name == "" {
		return h.render(w, r, page.NewPullPage(s, v))
	}
	if v.Branches, err = h.Source.Branches(r.Context(), r.actor, v.Repo.FullName()); err != nil {
		return err
	}
	if v.Target == "" {
		v.Target = v.Repo.DefaultBranch
	}
	if v.Source != "" && hasBranch(v.Branches, v.Source) && hasBranch(v.Branches, v.Target) {
		if err := h.compareInto(r, &v); err != nil {
			return err
		}
	} else {
		v.Source = ""
	}
	return h.render(w, r, page.NewPullPage(s, v))
}

// chosenRepo is the one that the address names, else the one named like the project, else
// the first.
func chosenRepo(list []source.Repo, name string) source.Repo {
	var out source.Repo
	for _, r := range list {
		if r.Name == name {
			return r
		}
		if out.Name == "" || r.Name == r.Project {
			out = r
		}
	}
	return out
}

// How far back the common history of two branches is looked for.
const (
	aheadOf = 250
	backIn  = 1000
)

// compareInto finds what the source has that the target has not, and the difference since
// the newest commit that both have.
func (h *handler) compareInto(r request, v *page.NewPull) error {
	full := v.Repo.FullName()
	ahead, _, err := h.Source.Commits(r.Context(), r.actor, full, v.Source, "", 0, aheadOf)
	if err != nil {
		return err
	}
	back, _, err := h.Source.Commits(r.Context(), r.actor, full, v.Target, "", 0, backIn)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, c := range back {
		have[c.Hash] = true
	}
	base := ""
	for _, c := range ahead {
		switch {
		case !have[c.Hash]:
			v.Commits = append(v.Commits, c)
		case base == "":
			base = c.Hash
		}
	}
	if len(v.Commits) == 0 {
		v.Same = true
		return nil
	}
	if base == "" {
		base = v.Target
	}
	if v.Diff, err = h.Source.Diff(r.Context(), r.actor, full, base, v.Source); err != nil {
		return err
	}
	v.Files = page.DiffFiles(v.Diff, page.DiffOptions{Only: -1})
	v.Title, v.Body = proposed(v.Commits, v.Source)
	list, _, err := h.Pulls.List(r.Context(), r.actor, r.project(), pull.Filter{Repo: full, Head: v.Commits[0].Hash, Limit: 20})
	for i, p := range list {
		if p.Source == v.Source && p.Target == v.Target {
			v.Existing = &list[i]
		}
	}
	return err
}

// proposed are a title and a text: those of the one commit, or the branch's name and the
// list of the commits.
func proposed(list []git.Commit, branch string) (title, body string) {
	if len(list) == 1 {
		return list[0].Title, list[0].Body
	}
	var b strings.Builder
	for i := len(list) - 1; i >= 0 && b.Len() < 4<<10; i-- {
		b.WriteString("- " + list[i].Title + "\n")
	}
	words := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '/' {
			return ' '
		}
		return r
	}, branch)
	return title1(words), strings.TrimSuffix(b.String(), "\n")
}

func title1(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (h *handler) openPull(w http.ResponseWriter, r request) error {
	f := r.PostForm
	p, err := h.Pulls.Open(r.Context(), r.actor, r.repo(), pull.Proposal{
		Title: strings.TrimSpace(f.Get("title")), Body: f.Get("body"), Source: f.Get("source"), Target: f.Get("target"),
		Draft: f.Get("draft") != "", Reviewers: names(f.Get("reviewers")),
	})
	if err != nil {
		return err
	}
	return done(w, r, pullPath(p), "")
}

// names takes a list of user names apart, each once.
func names(text string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == '\t' }) {
		n = strings.TrimPrefix(n, "@")
		if n != "" && !seen[n] && len(out) < maxReviewers {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

func pullPath(p pull.Pull) string {
	project, _, _ := strings.Cut(p.Repo, "/")
	return page.PullHref(page.Shell{Project: project}, p.Repo, p.Number)
}

func (h *handler) pullNumber(r request) (int64, error) {
	n, err := strconv.ParseInt(r.PathValue("pull"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.NotFound, "A pull request has a number; this is none.").WithNext("choose one from the list of pull requests")
	}
	return n, nil
}
