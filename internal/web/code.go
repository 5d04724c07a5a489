package web

import (
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/source/git"
	"towpath.dev/towpath/internal/web/page"
)

// commitsPerPage is how many commits a page lists.
const commitsPerPage = 50

func (h *handler) repos(w http.ResponseWriter, r request) error {
	list, err := h.Source.Repos(r.Context(), r.actor, r.project())
	if err != nil {
		return err
	}
	q := r.query("q")
	var items []page.RepoItem
	for _, repo := range list {
		if !matches(q, repo.Name) {
			continue
		}
		item := page.RepoItem{Repo: repo}
		last, err := h.Source.Commit(r.Context(), r.actor, repo.FullName(), "")
		switch {
		case err == nil:
			item.Last = &last
		case !fault.Is(err, fault.NotFound):
			return err
		}
		items = append(items, item)
	}
	s := h.room(w, r, "code", "Code", page.Crumb{Text: "code"})
	return h.render(w, r, page.CodePage(s, items, q, h.opts.PublicURL+"/"+r.project()+"/"+r.project()+".git"))
}

// repoView collects what every page of a repository shows.
func (h *handler) repoView(r request, tab string) (page.RepoView, error) {
	repo, err := h.Source.Repo(r.Context(), r.actor, r.repo())
	if err != nil {
		return page.RepoView{}, err
	}
	v := page.RepoView{Repo: repo, Rev: r.PathValue("rev"), Path: strings.Trim(r.PathValue("path"), "/"), Tab: tab, CloneURL: h.opts.PublicURL + "/" + repo.FullName() + ".git"}
	if h.opts.SSHURL != "" {
		v.SSHURL = h.opts.SSHURL + "/" + repo.FullName() + ".git"
	}
	if v.Branches, err = h.Source.Branches(r.Context(), r.actor, r.repo()); err != nil {
		return v, err
	}
	v.Empty = len(v.Branches) == 0
	if v.Rev == "" {
		v.Rev = repo.DefaultBranch
		// A repository whose first push named another branch shows that one.
		if !v.Empty && !hasBranch(v.Branches, v.Rev) {
			v.Rev = v.Branches[0].Name
		}
	}
	v.CanEdit = hasBranch(v.Branches, v.Rev) && h.holds(r, identity.Write)
	return v, nil
}

func hasBranch(list []git.Ref, name string) bool {
	for _, b := range list {
		if b.Name == name {
			return true
		}
	}
	return false
}

func (h *handler) codeShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) page.Shell {
	at := "/projects/" + r.project() + "/code"
	all := append([]page.Crumb{{Text: "code", Href: at}, {Text: r.PathValue("repo"), Href: at + "/" + page.Esc(r.PathValue("repo"))}}, crumbs...)
	return h.room(w, r, "code", title+" · "+r.repo(), all...)
}

func (h *handler) tree(w http.ResponseWriter, r request) error {
	v, err := h.repoView(r, "files")
	if err != nil {
		return err
	}
	s := h.codeShell(w, r, "Files")
	if v.Empty {
		return h.render(w, r, page.EmptyRepoPage(s, v))
	}
	l := page.Listing{RepoView: v}
	if l.Entries, err = h.Source.Tree(r.Context(), r.actor, r.repo(), v.Rev, v.Path); err != nil {
		return err
	}
	last, _, err := h.Source.Commits(r.Context(), r.actor, r.repo(), v.Rev, v.Path, 0, 1)
	if err != nil {
		return err
	}
	if len(last) == 1 {
		l.Last = &last[0]
	}
	for _, e := range l.Entries {
		name := path.Base(e.Path)
		if e.Type != "blob" || !strings.HasPrefix(strings.ToLower(name), "readme") {
			continue
		}
		b, err := h.Source.Blob(r.Context(), r.actor, r.repo(), v.Rev, e.Path)
		if err != nil {
			return err
		}
		if !b.Binary {
			l.ReadMe, l.Readme = name, strings.ToValidUTF8(string(b.Content), "\uFFFD")
		}
		break
	}
	return h.render(w, r, page.TreePage(s, l))
}

func (h *handler) blob(w http.ResponseWriter, r request) error {
	v, err := h.repoView(r, "files")
	if err != nil {
		return err
	}
	b, err := h.Source.Blob(r.Context(), r.actor, r.repo(), v.Rev, v.Path)
	if err != nil {
		return err
	}
	s := h.codeShell(w, r, path.Base(v.Path), page.Crumb{Text: path.Base(v.Path)})
	return h.render(w, r, page.BlobPage(s, page.FileView{RepoView: v, Blob: b}))
}

// raw answers with a file's bytes. They are somebody else's: they are never shown as a
// page of ours, whatever they say they are.
func (h *handler) raw(w http.ResponseWriter, r request) error {
	file := r.PathValue("path")
	b, err := h.Source.File(r.Context(), r.actor, r.repo(), r.PathValue("rev"), file)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if strings.ContainsRune(string(b[:min(len(b), 8<<10)]), 0) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(file)}))
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; sandbox")
	_, err = w.Write(b)
	return ignoreGone(err)
}

func (h *handler) commits(w http.ResponseWriter, r request) error {
	v, err := h.repoView(r, "commits")
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(r.query("page"))
	n = min(max(n, 0), 1<<20)
	list, more, err := h.Source.Commits(r.Context(), r.actor, r.repo(), v.Rev, v.Path, n, commitsPerPage)
	if err != nil {
		return err
	}
	view := page.History{RepoView: v, Commits: list}
	here := (&url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath}).EscapedPath()
	if n > 0 {
		view.Newer = here + page.Query("page", strconv.Itoa(n-1))
	}
	if more {
		view.Older = here + page.Query("page", strconv.Itoa(n+1))
	}
	return h.render(w, r, page.CommitsPage(h.codeShell(w, r, "Commits", page.Crumb{Text: "commits"}), view))
}

func (h *handler) branches(w http.ResponseWriter, r request) error {
	v, err := h.repoView(r, "branches")
	if err != nil {
		return err
	}
	if err := h.protectedBy(r, &v); err != nil {
		return err
	}
	tags, err := h.Source.Tags(r.Context(), r.actor, r.repo())
	if err != nil {
		return err
	}
	return h.render(w, r, page.BranchesPage(h.codeShell(w, r, "Branches", page.Crumb{Text: "branches"}), v, tags))
}

func (h *handler) commit(w http.ResponseWriter, r request) error {
	repo, err := h.Source.Repo(r.Context(), r.actor, r.repo())
	if err != nil {
		return err
	}
	v := page.CommitView{RepoView: page.RepoView{Repo: repo, Rev: r.PathValue("rev")}}
	if v.Commit, err = h.Source.Commit(r.Context(), r.actor, r.repo(), v.Rev); err != nil {
		return err
	}
	if v.Diff, err = h.Source.Diff(r.Context(), r.actor, r.repo(), "", v.Commit.Hash); err != nil {
		return err
	}
	v.Files = page.DiffFiles(v.Diff, page.DiffOptions{Only: -1})
	return h.render(w, r, page.CommitPage(h.codeShell(w, r, v.Commit.Title, page.Crumb{Text: page.Short(v.Commit.Hash)}), v))
}
