package web

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/web/page"
)

// maxEdited is the largest file in bytes that the browser's form changes.
const maxEdited = 1 << 20

// edit shows the form that changes a file, or with an empty path makes one.
func (h *handler) edit(fresh bool) handle {
	return func(w http.ResponseWriter, r request) error {
		rv, err := h.repoView(r, "files")
		if err != nil {
			return err
		}
		if err := h.Identity.Require(r.Context(), r.actor, r.project(), identity.Write); err != nil {
			return err
		}
		v := page.EditView{RepoView: rv, Fresh: fresh, Branch: rv.Rev}
		head, err := h.Source.Commit(r.Context(), r.actor, r.repo(), rv.Rev)
		if err != nil {
			return err
		}
		v.Head = head.Hash
		if !hasBranch(rv.Branches, rv.Rev) {
			v.Branch = rv.Repo.DefaultBranch
		}
		if !fresh {
			b, err := h.Source.Blob(r.Context(), r.actor, r.repo(), rv.Rev, rv.Path)
			if err != nil {
				return err
			}
			if b.Binary || b.Truncated || b.Size > maxEdited {
				return fault.New(fault.Invalid, "%s cannot be edited here: it is binary or larger than %s.", rv.Path, page.Bytes(maxEdited)).WithNext("clone the repository and change it there")
			}
			v.Text = string(b.Content)
		}
		name := orElse(path.Base(rv.Path), "new file")
		if fresh {
			name = "new file"
		}
		return h.render(w, r, page.EditPage(h.codeShell(w, r, name, page.Crumb{Text: name}), v))
	}
}

// commitEdit makes the commit and leads to the file, or to the form of a pull request.
func (h *handler) commitEdit(w http.ResponseWriter, r request) error {
	f := r.PostForm
	// A browser sends line breaks as CR LF (HTML Living Standard, 4.10.22); the text came
	// without, unless the file has its own.
	e := source.Edit{
		Repo: r.repo(), Branch: strings.TrimSpace(f.Get("branch")), From: f.Get("rev"), Path: strings.Trim(strings.TrimSpace(f.Get("path")), "/"),
		Content: []byte(strings.ReplaceAll(f.Get("text"), "\r\n", "\n")), Message: strings.TrimSpace(f.Get("message")), Expect: f.Get("expect"),
	}
	if _, err := h.Source.Edit(r.Context(), r.actor, e); err != nil {
		return err
	}
	if f.Get("propose") != "" {
		q := url.Values{"repo": {r.PathValue("repo")}, "source": {e.Branch}}
		return done(w, r, "/projects/"+r.project()+"/pulls/new?"+q.Encode(), "Committed to "+e.Branch+".")
	}
	return done(w, r, repoPath(r, "/blob/"+page.Esc(e.Branch)+"/"+page.EscPath(e.Path)), "Committed to "+e.Branch+".")
}
