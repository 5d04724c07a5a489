package source_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/source"
)

// send makes a raw request as a user ("" is nobody).
func (w *world) send(method, path, user, contentType string, body io.Reader, change ...func(*http.Request)) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, body)
	check(w.t, err)
	if user != "" {
		req.SetBasicAuth(user, "secret-of-"+user)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for _, f := range change {
		f(req)
	}
	resp, err := w.http.Client().Do(req)
	check(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(w.t, err)
	return resp, string(text)
}

// seeded is a world in which shop/web holds one commit, pushed by wanda.
func seeded(t testing.TB, change ...func(*source.Options)) (*world, *clone, string) {
	t.Helper()
	w := newWorld(t, change...)
	c := newClone(t)
	head := c.commit("First", "README.md", "hello\n", "src/main.go", "package main\n")
	c.git("push", "-q", w.url("wanda", "shop/web.git"), "main")
	return w, c, head
}

func TestRequestsThatAreRefused(t *testing.T) {
	w, _, _ := seeded(t)
	const up, rp = "application/x-git-upload-pack-request", "application/x-git-receive-pack-request"
	tests := []struct {
		name, method, path, user, contentType string
		status                                int
		says                                  string
	}{
		{"nobody reads", "GET", "/shop/web.git/info/refs?service=git-upload-pack", "", "", 401, "Sign in"},
		{"nobody pushes", "GET", "/shop/web.git/info/refs?service=git-receive-pack", "", "", 401, "Sign in"},
		{"nobody asks for what is not there", "GET", "/other/web.git/info/refs?service=git-upload-pack", "", "", 401, "Sign in"},
		{"stranger reads", "GET", "/shop/web.git/info/refs?service=git-upload-pack", "stranger", "", 404, "no project"},
		{"reader asks to push", "GET", "/shop/web.git/info/refs?service=git-receive-pack", "rita", "", 403, "needs write"},
		{"reader pushes", "POST", "/shop/web.git/git-receive-pack", "rita", rp, 403, "needs write"},
		{"reader pushes under another name", "POST", "/shop/web.git/git-receive-pack?service=git-upload-pack", "rita", rp, 403, "no query"},
		{"reader pushes to a new repository", "POST", "/shop/new.git/git-receive-pack", "rita", rp, 403, "needs write"},
		{"writer makes a project", "POST", "/fresh/new.git/git-receive-pack", "wanda", rp, 404, "no project"},
		{"two services", "GET", "/shop/web.git/info/refs?service=git-upload-pack&service=git-receive-pack", "rita", "", 400, "malformed"},
		{"unknown service", "GET", "/shop/web.git/info/refs?service=git-upload-archive", "rita", "", 403, "does not serve"},
		{"dumb protocol", "GET", "/shop/web.git/info/refs", "rita", "", 403, "smart HTTP protocol only"},
		{"wrong content type", "POST", "/shop/web.git/git-upload-pack", "rita", rp, 415, up},
		{"no content type", "POST", "/shop/web.git/git-upload-pack", "rita", "", 415, up},
		{"wrong method", "GET", "/shop/web.git/git-upload-pack", "rita", "", 405, "POST"},
		{"wrong method", "POST", "/shop/web.git/info/refs?service=git-upload-pack", "rita", "", 405, "GET"},
		{"missing repository", "GET", "/shop/none.git/info/refs?service=git-upload-pack", "rita", "", 404, "no repository shop/none"},
		{"option as name", "GET", "/shop/--upload-pack=x/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"option as project", "GET", "/--upload-pack=x/web/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"dots", "GET", "/shop/../web/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"dots behind a name", "GET", "/shop/web.git/../../y/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"encoded dots", "GET", "/shop/%2e%2e%2fweb.git/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"encoded slash", "GET", "/shop%2fweb.git/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"NUL", "GET", "/shop/web%00.git/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"line break", "GET", "/shop/web%0a.git/info/refs?service=git-upload-pack", "admin", "", 404, "not the address"},
		{"very long", "GET", "/shop/" + strings.Repeat("a", 5000) + ".git/info/refs?service=git-receive-pack", "admin", "", 404, "not the address"},
		{"unicode", "GET", "/shop/wéb.git/info/refs?service=git-receive-pack", "admin", "", 404, "not the address"},
		{"upper case", "GET", "/Shop/Web.git/info/refs?service=git-receive-pack", "admin", "", 404, "not the address"},
		{"reserved project", "GET", "/api/v1.git/info/refs?service=git-receive-pack", "admin", "", 404, "not the address"},
		{"three parts", "GET", "/shop/web/deep.git/info/refs?service=git-receive-pack", "admin", "", 404, "not the address"},
		{"repository's files", "GET", "/shop/web.git/HEAD", "admin", "", 404, "not the address"},
		{"repository's config", "GET", "/shop/web.git/config/info/refs", "admin", "", 404, "not the address"},
		{"form of another site", "POST", "/fresh/new.git/git-receive-pack", "admin", "text/plain", 415, rp},
		{"broken gzip", "POST", "/shop/web.git/git-upload-pack", "rita", up, 400, "not gzip"},
	}
	before := len(w.events(""))
	projects := len(w.guard.projects)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, text := w.send(tt.method, tt.path, tt.user, tt.contentType, strings.NewReader("0000"), func(r *http.Request) {
				if tt.name == "broken gzip" {
					r.Header.Set("Content-Encoding", "gzip")
				}
			})
			if resp.StatusCode != tt.status || !strings.Contains(text, tt.says) {
				t.Errorf("got %d %q, want %d with %q", resp.StatusCode, text, tt.status, tt.says)
			}
			if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("content type %q: git would not show the words", got)
			}
			if (resp.Header.Get("WWW-Authenticate") != "") != (tt.status == 401) {
				t.Errorf("status %d with WWW-Authenticate %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
			}
		})
	}
	if after := len(w.events("")); after != before {
		t.Errorf("refused requests said %d events", after-before)
	}
	// An administrator who only asks makes nothing either.
	resp, _ := w.send("GET", "/fresh/new.git/info/refs?service=git-receive-pack", "admin", "", nil)
	if resp.StatusCode != 200 {
		t.Errorf("asking to push to a new project: %d", resp.StatusCode)
	}
	if len(w.guard.projects) != projects {
		t.Errorf("a project was made")
	}
}

// A body that Git's protocol does not know is the client's mistake, in words, and not ours.
func TestNoProtocol(t *testing.T) {
	w, _, _ := seeded(t)
	for service, user := range map[string]string{"git-receive-pack": "wanda", "git-upload-pack": "rita"} {
		for _, body := range []string{"zzzz", "0010", "0009hello"} {
			resp, text := w.send("POST", "/shop/web.git/"+service, user, "application/x-"+service+"-request", strings.NewReader(body))
			if resp.StatusCode != 400 || !strings.Contains(text, "Git's protocol") {
				t.Errorf("%s of %q: %d %q", service, body, resp.StatusCode, text)
			}
		}
	}
}

func TestGzipBody(t *testing.T) {
	w, _, head := seeded(t)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	_, err := io.WriteString(z, "0014command=ls-refs\n0000")
	check(t, err)
	check(t, z.Close())
	resp, text := w.send("POST", "/shop/web.git/git-upload-pack", "rita", "application/x-git-upload-pack-request", &body, func(r *http.Request) {
		r.Header.Set("Content-Encoding", "gzip")
		r.Header.Set("Git-Protocol", "version=2")
	})
	if resp.StatusCode != 200 || !strings.Contains(text, head+" refs/heads/main") {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
}

// A protocol header is taken only in the form that git sends; anything else is as if
// it were not there, and never reaches the environment of a process.
func TestProtocolHeader(t *testing.T) {
	w, _, _ := seeded(t)
	for header, want := range map[string]string{
		"version=2":               "version 2",
		"version=1":               "version 1",
		"version=2\tGIT_DIR=/":    "# service=git-upload-pack",
		"version=2:x=../../../..": "# service=git-upload-pack",
		strings.Repeat("v", 5000): "# service=git-upload-pack",
	} {
		_, text := w.send("GET", "/shop/web.git/info/refs?service=git-upload-pack", "rita", "", nil, func(r *http.Request) { r.Header.Set("Git-Protocol", header) })
		if !strings.Contains(text[:min(60, len(text))], want) {
			t.Errorf("header %.30q: got %.60q, want %q", header, text, want)
		}
	}
}

func TestHandles(t *testing.T) {
	for path, want := range map[string]bool{
		"/shop/web.git/info/refs":          true,
		"/shop/web/git-upload-pack":        true,
		"/shop/web.git/git-receive-pack":   true,
		"/shop/../x/git-receive-pack":      true, // to be refused in words
		"/projects/shop/info/refs":         false,
		"/v2/shop/info/refs":               false,
		"/shop/web.git":                    false,
		"/":                                false,
		"/api/v1/projects/git-upload-pack": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: path}
		if got := source.Handles(r); got != want {
			t.Errorf("Handles(%q) = %v", path, got)
		}
	}
}

func TestGitShowsTheWords(t *testing.T) {
	w, c, _ := seeded(t)
	c.commit("More", "more.txt", "more")
	bad := func(user, password string) string {
		return strings.Replace(w.http.URL, "http://", "http://"+user+":"+password+"@", 1) + "/shop/web.git"
	}
	c.refused([]string{"The token is wrong.", "Authentication failed"}, "push", bad("wanda", "nonsense"), "main")
	c.refused([]string{"This token expired on 1 March.", "towpath token create", "Authentication failed"}, "fetch", bad("wanda", "expired"))
	c.refused([]string{"remote: You may read in shop, and this needs write.", "403"}, "push", w.url("rita", "shop/web.git"), "main")
	c.refused([]string{"remote: There is no repository shop/nothing.", "not found"}, "fetch", w.url("rita", "shop/nothing.git"))
	c.refused([]string{"remote: There is no project shop.", "not found"}, "fetch", w.url("stranger", "shop/web.git"))
	c.refused([]string{"could not read Username"}, "fetch", w.http.URL+"/shop/web.git")
	c.refused([]string{"This is not the address of a repository"}, "push", w.url("admin", "shop/--upload-pack=x"), "main")
	c.refused([]string{"not the address"}, "push", w.url("admin", "..%2fx"), "main")
	if got := len(w.events(event.TypeCommitPushed)); got != 1 {
		t.Errorf("%d pushes are in the log, want 1", got)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"/shop/web.git/info/refs", "/a/b/git-upload-pack", "/shop/../git-receive-pack", "/shop/--x/info/refs", "//info/refs", "/a/.git/info/refs", "/a/b.git.git/info/refs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		a, ok := source.ParsePath(path)
		if !ok {
			return
		}
		if p, r, err := source.SplitName(a.Project + "/" + a.Repo); err != nil || p != a.Project || r != a.Repo {
			t.Errorf("%q gives the names %q and %q: %v", path, a.Project, a.Repo, err)
		}
		if strings.ContainsAny(a.Project+a.Repo, "/\\\x00\n%") || strings.HasPrefix(a.Project, "-") || strings.HasPrefix(a.Repo, "-") || strings.Contains(a.Repo, "..") {
			t.Errorf("%q gives the names %q and %q", path, a.Project, a.Repo)
		}
		if path != "/"+a.Project+"/"+a.Repo+"/"+a.Action && path != "/"+a.Project+"/"+a.Repo+".git/"+a.Action {
			t.Errorf("%q was read as %+v", path, a)
		}
	})
}
