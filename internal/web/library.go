package web

import (
	"net/http"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/web/page"
)

// maxSecureForm is the largest form that carries a secure file.
const maxSecureForm = library.MaxFile + 1<<20

// libraryRoutes are the addresses of variable groups, secure files and service connections.
func (h *handler) libraryRoutes() {
	const at = "/projects/{project}/library"
	h.page("GET "+at, h.shared)
	h.form("POST "+at+"/groups", h.createGroup)
	h.page("GET "+at+"/groups/{name}", h.variableGroup)
	h.form("POST "+at+"/groups/{name}", h.changeGroup)
	h.form("POST "+at+"/groups/{name}/remove", h.removeGroup)
	h.form("POST "+at+"/connections", h.createConnection)
	h.page("GET "+at+"/connections/{name}", h.connection)
	h.form("POST "+at+"/connections/{name}", h.changeConnection)
	h.form("POST "+at+"/connections/{name}/remove", h.removeConnection)
	h.upload("POST "+at+"/files", h.uploadFile)
	h.form("POST "+at+"/files/{name}/remove", h.removeFile)
}

// shelf is the library, or why there is none.
func (h *handler) shelf() (Library, error) {
	if h.Library == nil {
		return nil, fault.New(fault.Unavailable, "This installation keeps no secrets, so it has no library.").WithNext("start the server with a key file in its data folder")
	}
	return h.Library, nil
}

func (h *handler) libraryShell(w http.ResponseWriter, r request, title string, crumbs ...page.Crumb) page.Shell {
	at := "/projects/" + r.project()
	all := append([]page.Crumb{{Text: "settings", Href: at + "/settings"}, {Text: "library", Href: at + "/library"}}, crumbs...)
	return h.room(w, r, "settings", title, all...)
}

// shared lists the variable groups, secure files and service connections of the project.
func (h *handler) shared(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	v := page.SharedView{Maintain: h.holds(r, identity.Maintain), Add: r.query("add")}
	if v.Groups, err = lib.Groups(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if v.Files, err = lib.Files(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	if v.Connections, err = lib.Connections(r.Context(), r.actor, r.project()); err != nil {
		return err
	}
	return h.render(w, r, page.SharedPage(h.libraryShell(w, r, "Library"), v))
}

// variableGroup shows one variable group. Secret values are not in what the library answers.
func (h *handler) variableGroup(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	g, err := lib.Group(r.Context(), r.actor, r.project(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return h.render(w, r, page.VariableGroupPage(h.libraryShell(w, r, g.Name, page.Crumb{Text: g.Name}), g, h.holds(r, identity.Maintain)))
}

func (h *handler) connection(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	c, err := lib.Connection(r.Context(), r.actor, r.project(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return h.render(w, r, page.ConnectionPage(h.libraryShell(w, r, c.Name, page.Crumb{Text: c.Name}), c, h.holds(r, identity.Maintain)))
}

// valuesOf reads the rows of a form: a name, a value, and whether it is secret. A row without
// a name is none. The numbers of secret rows stand in "secret".
func valuesOf(r request) ([]library.Value, error) {
	names, texts := r.PostForm["name"], r.PostForm["value"]
	if len(names) != len(texts) {
		return nil, fault.New(fault.Invalid, "The values of the form cannot be read.").WithNext("open the page again and send the form from there")
	}
	secret := map[string]bool{}
	for _, n := range r.PostForm["secret"] {
		secret[n] = true
	}
	var out []library.Value
	for i, n := range names {
		if n = strings.TrimSpace(n); n != "" {
			out = append(out, library.Value{Name: n, Value: texts[i], Secret: secret[strconv.Itoa(i)]})
		}
	}
	return out, nil
}

func libraryPath(r request, rest string) string {
	return "/projects/" + r.project() + "/library" + rest
}

func (h *handler) createGroup(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	values, err := valuesOf(r)
	if err != nil {
		return err
	}
	g, err := lib.CreateGroup(r.Context(), r.actor, r.project(), strings.TrimSpace(r.PostForm.Get("title")), strings.TrimSpace(r.PostForm.Get("description")), values, r.PostForm.Get("open") != "")
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, "/groups/"+page.Esc(g.Name)), "The variable group is there.")
}

// change reads what a form changes: values that are set, values that are removed. A secret
// whose field is empty stays as it is.
func change(r request) (library.Change, error) {
	values, err := valuesOf(r)
	if err != nil {
		return library.Change{}, err
	}
	var c library.Change
	if r.PostForm.Has("description") {
		text := strings.TrimSpace(r.PostForm.Get("description"))
		c.Description = &text
	}
	for _, v := range values {
		if !v.Secret || v.Value != "" {
			c.Set = append(c.Set, v)
		}
	}
	c.Remove = r.PostForm["remove"]
	return c, nil
}

func (h *handler) changeGroup(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	c, err := change(r)
	if err != nil {
		return err
	}
	g, err := lib.ChangeGroup(r.Context(), r.actor, r.project(), r.PathValue("name"), c)
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, "/groups/"+page.Esc(g.Name)), "Saved. Jobs that start from now on get the new values.")
}

func (h *handler) removeGroup(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err == nil {
		err = lib.RemoveGroup(r.Context(), r.actor, r.project(), r.PathValue("name"))
	}
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, ""), "The variable group is removed, with its secrets, its checks and the permissions on it.")
}

func (h *handler) createConnection(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	values, err := valuesOf(r)
	if err != nil {
		return err
	}
	f := r.PostForm
	c, err := lib.CreateConnection(r.Context(), r.actor, r.project(), library.Connection{
		Name: strings.TrimSpace(f.Get("title")), Type: f.Get("type"), URL: strings.TrimSpace(f.Get("url")), Description: strings.TrimSpace(f.Get("description")), Parameters: values,
	}, f.Get("open") != "")
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, "/connections/"+page.Esc(c.Name)), "The service connection is there.")
}

func (h *handler) changeConnection(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	c, err := change(r)
	if err != nil {
		return err
	}
	got, err := lib.ChangeConnection(r.Context(), r.actor, r.project(), r.PathValue("name"), c)
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, "/connections/"+page.Esc(got.Name)), "Saved. Jobs that start from now on get the new values.")
}

func (h *handler) removeConnection(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err == nil {
		err = lib.RemoveConnection(r.Context(), r.actor, r.project(), r.PathValue("name"))
	}
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, ""), "The service connection is removed, with its secrets, its checks and the permissions on it.")
}

// upload registers what a form with a file is sent to. The file is kept in memory, which
// its limit allows: a secret does not lie on a disk in the clear.
func (h *handler) upload(pattern string, do handle) {
	h.page(pattern, func(w http.ResponseWriter, r request) error {
		r.Body = http.MaxBytesReader(w, r.Body, maxSecureForm)
		if err := r.ParseMultipartForm(maxSecureForm); err != nil {
			return fault.Wrap(fault.Invalid, err, "The form cannot be read. A secure file has at most 10 MiB.")
		}
		if r.session != "" && !sameToken(r.PostForm.Get("csrf"), formToken(r.session)) {
			return fault.New(fault.Denied, "This form does not come from a page of this session.").WithNext("open the page again and send the form from there")
		}
		return do(w, r)
	})
}

func (h *handler) uploadFile(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err != nil {
		return err
	}
	file, head, err := r.FormFile("file")
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The form has no file.").WithNext("choose a file and send the form again")
	}
	defer file.Close()
	got, err := lib.UploadFile(r.Context(), r.actor, r.project(), orElse(strings.TrimSpace(r.PostForm.Get("title")), head.Filename), file, r.PostForm.Get("open") != "")
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, ""), "The file "+got.Name+" is kept. Nobody reads it but jobs.")
}

func (h *handler) removeFile(w http.ResponseWriter, r request) error {
	lib, err := h.shelf()
	if err == nil {
		err = lib.RemoveFile(r.Context(), r.actor, r.project(), r.PathValue("name"))
	}
	if err != nil {
		return err
	}
	return done(w, r, libraryPath(r, ""), "The secure file is removed, with its checks and the permissions on it.")
}
