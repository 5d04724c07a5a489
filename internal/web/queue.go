package web

import (
	"net/http"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

// queueInto reads what a run of the chosen pipeline can be given, for the dialog that starts
// one.
func (h *handler) queueInto(r request, v *page.RunList) error {
	repos, err := h.Source.Repos(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, repo := range repos {
		v.Repos = append(v.Repos, repo.FullName())
	}
	defined, err := h.Definitions.Definitions(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	for _, d := range defined {
		if d.File != pipeline.File && !d.Disabled {
			v.Repos = append(v.Repos, d.Key())
		}
	}
	q := page.Queue{Repo: r.query("repo"), Ref: r.query("ref")}
	if q.Repo == "" && len(v.Repos) > 0 {
		q.Repo = v.Repos[0]
		for _, full := range v.Repos {
			if full == r.project()+"/"+r.project() {
				q.Repo = full
			}
		}
	}
	v.Queue = &q
	v.CanKeep = h.holds(r, identity.Maintain)
	// A repository of another project would be asked for with this one's address.
	if project, _, _ := strings.Cut(q.Repo, "/"); q.Repo == "" || project != r.project() || !h.holds(r, identity.Write) {
		return nil
	}
	if q.Parameters, err = h.Pipeline.Parameters(r.Context(), r.actor, q.Repo, q.Ref); err != nil {
		if fault.KindOf(err) == fault.Internal {
			return err
		}
		// A file that is missing or wrong is said in the dialog, where another can be chosen.
		q.Wrong, q.Next = fault.Public(err)
		return nil
	}
	all, err := h.Pipeline.Variables(r.Context(), r.actor, q.Repo)
	for _, one := range all {
		if one.Settable {
			q.Variables = append(q.Variables, one)
		}
	}
	return err
}

// startRun starts a run with the parameters, variables and stages of the dialog.
func (h *handler) startRun(w http.ResponseWriter, r request) error {
	in := pipeline.Request{Ref: strings.TrimSpace(r.PostForm.Get("ref")), Parameters: map[string]string{}, Variables: map[string]string{}, Stay: stayOf(r)}
	for name, list := range r.PostForm {
		if p, ok := strings.CutPrefix(name, "p."); ok {
			// An unticked box sends "false" alone, a ticked one "false" and "true".
			in.Parameters[p] = list[len(list)-1]
		}
		if p, ok := strings.CutPrefix(name, "v."); ok {
			in.Variables[p] = list[len(list)-1]
		}
	}
	for _, name := range strings.FieldsFunc(r.PostForm.Get("skip"), func(c rune) bool { return strings.ContainsRune(" ,;\r\n\t", c) }) {
		in.Skip = append(in.Skip, name)
	}
	run, err := h.Pipeline.StartWith(r.Context(), r.actor, r.PostForm.Get("repo"), in)
	if err != nil {
		return err
	}
	return done(w, r, runPath(run), "")
}
