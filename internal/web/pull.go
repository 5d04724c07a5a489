package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/source/pull"
	"towpath.dev/towpath/internal/web/page"
)

// pull shows one pull request.
func (h *handler) pull(w http.ResponseWriter, r request) error {
	n, err := h.pullNumber(r)
	if err != nil {
		return err
	}
	v := page.PullView{Tab: r.query("tab"), Only: -1, Edit: r.query("edit") != ""}
	if v.Pull, err = h.Pulls.Get(r.Context(), r.actor, r.repo(), n); err != nil {
		return err
	}
	number := "#" + strconv.FormatInt(n, 10)
	s, err := h.live(w, r, "pulls", v.Title+" "+number, page.Crumb{Text: "pull requests", Href: "/projects/" + r.project() + "/pulls"}, page.Crumb{Text: number})
	if err != nil {
		return err
	}
	v.May, v.Maintain = h.holds(r, identity.Write), h.holds(r, identity.Maintain)
	v.Mine = v.Author == r.actor.Name
	if v.Checks, err = h.Pulls.Checks(r.Context(), r.actor, r.repo(), v.Head); err != nil {
		return err
	}
	if v.State == pull.Open {
		if v.Apps, err = h.reviewApps(r, func(x *deploy.Review) bool { return x.Repo == r.repo() && x.Pull == n }); err != nil {
			return err
		}
	}
	if v.Edit {
		if v.Branches, err = h.Source.Branches(r.Context(), r.actor, r.repo()); err != nil {
			return err
		}
	}
	if err := h.pullTab(r, n, &v); err != nil {
		return err
	}
	return h.render(w, r, page.PullPage(s.OfPull(v), v))
}

// pullTab reads what the chosen tab shows.
func (h *handler) pullTab(r request, n int64, v *page.PullView) (err error) {
	switch v.Tab {
	case page.TabFiles:
		return h.pullFiles(r, n, v)
	case page.TabChecks:
		if v.Diff, err = h.Pulls.Diff(r.Context(), r.actor, r.repo(), n); err != nil {
			return err
		}
		noted, err := h.Pulls.Annotations(r.Context(), r.actor, r.repo(), v.Head)
		v.Checks = withNotes(v.Checks, noted)
		return err
	case page.TabVerdicts:
		return h.pullVerdicts(r, v)
	case page.TabCommits:
		v.Commits, err = h.Pulls.Commits(r.Context(), r.actor, r.repo(), n)
		return err
	}
	v.Tab = ""
	if v.Gate, err = h.Pulls.State(r.Context(), r.actor, r.repo(), n); err != nil {
		return err
	}
	if v.Timeline, err = h.Pulls.Timeline(r.Context(), r.actor, r.repo(), n); err != nil {
		return err
	}
	for _, e := range v.Timeline {
		if e.Review != nil {
			v.Reviews = append(v.Reviews, *e.Review)
		}
	}
	return nil
}

// withNotes puts the annotations to the checks that they belong to.
func withNotes(list, noted []pull.Check) []pull.Check {
	for i, c := range list {
		for _, n := range noted {
			if n.Name == c.Name && n.Source == c.Source {
				list[i].Annotations = n.Annotations
			}
		}
	}
	return list
}

// pullFiles reads the difference with everything that is said about its lines.
func (h *handler) pullFiles(r request, n int64, v *page.PullView) (err error) {
	if v.Diff, err = h.Pulls.Diff(r.Context(), r.actor, r.repo(), n); err != nil {
		return err
	}
	o := page.DiffOptions{Only: -1, At: r.query("at"), Prefix: r.repo() + "/" + r.PathValue("pull")}
	base := "/projects/" + r.project() + "/pulls/" + page.Esc(r.PathValue("repo")) + "/" + r.PathValue("pull")
	o.Whole = base + "?tab=files&file="
	if r.session != "" {
		o.Comment = base + "?tab=files&at="
	}
	if file, err := strconv.Atoi(r.query("file")); err == nil && file >= 0 && file < len(v.Diff.Files) {
		o.Only, v.Only = file, file
	}
	if file, _, _, ok := page.ParseAt(o.At); ok && o.Only < 0 && file < len(v.Diff.Files) && r.query("alone") != "" {
		o.Only, v.Only = file, file
	}
	if o.Threads, err = h.Pulls.Threads(r.Context(), r.actor, r.repo(), n); err != nil {
		return err
	}
	if o.Checks, err = h.Pulls.Annotations(r.Context(), r.actor, r.repo(), v.Head); err != nil {
		return err
	}
	v.Files = page.DiffFiles(v.Diff, o)
	v.Lost = lost(v.Diff, o.Checks)
	return nil
}

// maxLost bounds how many annotations on files that do not change stand above the files.
const maxLost = 20

// lost are the annotations on files that the pull request does not change.
func lost(d git.Diff, checks []pull.Check) []page.Talk {
	changed := map[string]bool{}
	for _, f := range d.Files {
		changed[f.New], changed[f.Old] = true, true
	}
	var out []page.Talk
	for _, c := range checks {
		for _, a := range c.Annotations {
			if !changed[a.Path] && len(out) < maxLost {
				out = append(out, page.Talk{Note: &page.Annot{Annotation: a, Check: c.Name}})
			}
		}
	}
	return out
}

// act answers a form of a pull request: it does one thing and leads back to the page.
func (h *handler) act(do func(ctx context.Context, r request, n int64) (notice, to string, err error)) handle {
	return func(w http.ResponseWriter, r request) error {
		n, err := h.pullNumber(r)
		if err != nil {
			return err
		}
		notice, to, err := do(r.Context(), r, n)
		if err != nil {
			return err
		}
		return done(w, r, "/projects/"+r.project()+"/pulls/"+page.Esc(r.PathValue("repo"))+"/"+strconv.FormatInt(n, 10)+to, notice)
	}
}

func (h *handler) editPull(ctx context.Context, r request, n int64) (string, string, error) {
	f := r.PostForm
	title, body, target := strings.TrimSpace(f.Get("title")), f.Get("body"), f.Get("target")
	e := pull.Edit{Title: &title, Body: &body}
	if target != "" {
		e.Target = &target
	}
	_, err := h.Pulls.Edit(ctx, r.actor, r.repo(), n, e)
	return "Saved.", "", err
}

func (h *handler) draftPull(draft bool) func(context.Context, request, int64) (string, string, error) {
	return func(ctx context.Context, r request, n int64) (string, string, error) {
		_, err := h.Pulls.Edit(ctx, r.actor, r.repo(), n, pull.Edit{Draft: &draft})
		return "", "", err
	}
}

func (h *handler) closePull(ctx context.Context, r request, n int64) (string, string, error) {
	_, err := h.Pulls.Close(ctx, r.actor, r.repo(), n)
	return "", "", err
}

func (h *handler) reopenPull(ctx context.Context, r request, n int64) (string, string, error) {
	_, err := h.Pulls.Reopen(ctx, r.actor, r.repo(), n)
	return "", "", err
}

func (h *handler) askReview(ctx context.Context, r request, n int64) (string, string, error) {
	who := names(r.PostForm.Get("users"))
	if len(who) == 0 {
		return "", "", fault.New(fault.Invalid, "Nobody is named.").WithNext("write one or more user names")
	}
	_, err := h.Pulls.Request(ctx, r.actor, r.repo(), n, who)
	return "Asked " + strings.Join(who, ", ") + " for a review.", "", err
}

// commentPull adds to the conversation, or begins a thread on a line.
func (h *handler) commentPull(ctx context.Context, r request, n int64) (string, string, error) {
	f := r.PostForm
	remark := pull.Remark{Body: f.Get("body")}
	to := ""
	if at := f.Get("at"); at != "" {
		_, side, line, ok := page.ParseAt(at)
		if !ok {
			return "", "", fault.New(fault.Invalid, "%q names no line.", at[:min(len(at), 40)]).WithNext("open the files of the pull request and choose a line there")
		}
		remark.Path, remark.Side, remark.Line, remark.Commit = f.Get("path"), side, line, f.Get("commit")
		to = "?tab=files#d" + at
	}
	_, err := h.Pulls.Comment(ctx, r.actor, r.repo(), n, remark)
	return "", to, err
}

// threadPull answers in a thread, ends it, or takes it up again; a text is said first.
func (h *handler) threadPull(ctx context.Context, r request, n int64) (string, string, error) {
	id, body, do := r.PathValue("thread"), strings.TrimSpace(r.PostForm.Get("body")), r.PostForm.Get("do")
	if do == "reply" && body == "" {
		return "", "", fault.New(fault.Invalid, "The reply is empty.").WithNext("write something, or resolve the thread without a word")
	}
	if body != "" {
		if _, err := h.Pulls.Reply(ctx, r.actor, r.repo(), n, id, body); err != nil {
			return "", "", err
		}
	}
	if do == "resolve" || do == "unresolve" {
		if _, err := h.Pulls.Resolve(ctx, r.actor, r.repo(), n, id, do == "resolve"); err != nil {
			return "", "", err
		}
	}
	return "", "?tab=files#t-" + page.Esc(id), nil
}

func (h *handler) reviewPull(ctx context.Context, r request, n int64) (string, string, error) {
	f := r.PostForm
	_, err := h.Pulls.Review(ctx, r.actor, r.repo(), n, pull.Judgement{Verdict: f.Get("verdict"), Body: f.Get("body"), Commit: f.Get("commit")})
	return "Your review is given.", "", err
}

// dismissReview takes a review out of the count.
func (h *handler) dismissReview(ctx context.Context, r request, n int64) (string, string, error) {
	_, err := h.Pulls.Dismiss(ctx, r.actor, r.repo(), n, r.PathValue("review"), strings.TrimSpace(r.PostForm.Get("why")))
	return "The review is dismissed.", "", err
}

func (h *handler) mergePull(ctx context.Context, r request, n int64) (string, string, error) {
	f := r.PostForm
	p, err := h.Pulls.Merge(ctx, r.actor, r.repo(), n, pull.Merge{
		Method: f.Get("method"), Expect: f.Get("expect"), Message: f.Get("message"), Bypass: f.Get("bypass") != "", DeleteSource: f.Get("delete") != "",
	})
	return strings.TrimSpace("Merged. " + p.Notice), "", err
}
