package foreign_test

import (
	"testing"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/foreign"
)

func TestHostOfALogin(t *testing.T) {
	for _, c := range []struct{ server, want string }{
		{"https://r.example.com", "r.example.com"},
		{"http://R.example.com:5000/v2/", "r.example.com:5000"},
		{"r.example.com:5000/x", "r.example.com:5000"},
		{"https://index.docker.io/v1/", foreign.Hub},
		{"https://registry.hub.docker.com", foreign.Hub},
		{"docker.io", foreign.Hub},
		{"https://user:pw@r.example.com", ""},
		{"ftp://r.example.com", ""},
		{"https://", ""},
		{"", ""},
		{"r.example.com?x=1", ""},
		{"a b", ""},
	} {
		t.Run(c.server, func(t *testing.T) {
			got, err := foreign.Login{Server: c.server}.Host()
			if got != c.want || (err != nil) != (c.want == "") || err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ host, repository, want string }{
		{"r.example.com", "a/b", "r.example.com/a/b:1"},
		{"localhost:7080", "a/b", "localhost:7080/a/b:1"},
		{foreign.Hub, "me/web", "docker.io/me/web:1"},
		{foreign.Hub, "web", "docker.io/library/web:1"},
		{"r.example.com", "a//b", ""},
		{"r.example.com", "a:2", ""},
		{"r.example.com", "a@sha256:00", ""},
	} {
		t.Run(c.repository, func(t *testing.T) {
			if got, err := foreign.Name(c.host, c.repository, "1"); got != c.want || (err != nil) != (c.want == "") {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// A folder without images has none, and is no error.
func TestNothingKept(t *testing.T) {
	if got, err := foreign.Kept(t.TempDir()+"/images", "r/a:1"); got != "" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
