package web_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/web"
	"towpath.dev/towpath/internal/web/webtest"
)

// site is the pages over the fixture, with what they log.
type site struct {
	*webtest.Fixture
	srv *httptest.Server
	log *bytes.Buffer
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Fixture: webtest.New(), log: &bytes.Buffer{}}
	d := s.Deps()
	d.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	s.srv = httptest.NewServer(web.New(d, web.Options{PublicURL: "http://localhost:7080", Version: "v0.1.0"}))
	t.Cleanup(s.srv.Close)
	t.Cleanup(s.srv.CloseClientConnections)
	return s
}

// visitor is a browser without a screen.
type visitor struct {
	t *testing.T
	s *site
	c *http.Client
}

// as returns a visitor who is signed in as user, or nobody for "".
func (s *site) as(t *testing.T, user string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{t, s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if user != "" {
		u, err := url.Parse(s.srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		jar.SetCookies(u, []*http.Cookie{s.SessionCookie(s.Session(user))})
	}
	return v
}

type reply struct {
	*http.Response
	body string
}

func (v *visitor) do(req *http.Request) reply {
	v.t.Helper()
	res, err := v.c.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return reply{res, string(b)}
}

func (v *visitor) get(path string, headers ...string) reply {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.s.srv.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return v.do(req)
}

func (v *visitor) post(path string, form url.Values, headers ...string) reply {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.s.srv.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return v.do(req)
}

var csrfField = regexp.MustCompile(`name="csrf" value="([0-9a-f]+)"`)

// token is the form token on a page.
func (v *visitor) token(path string) string {
	v.t.Helper()
	m := csrfField.FindStringSubmatch(v.get(path).body)
	if m == nil {
		v.t.Fatalf("%s has no form", path)
	}
	return m[1]
}
