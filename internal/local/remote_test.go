package local_test

import (
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/local"
)

func TestRemote(t *testing.T) {
	tests := []struct {
		name string
		git  [][]string
		want local.Repository
	}{
		{"P002 an address with a password", [][]string{{"remote", "add", "origin", "https://ada:secret@github.com/acme/shop.git"}},
			local.Repository{URL: "https://github.com/acme/shop.git", Name: "acme/shop", Provider: "GitHub"}},
		{"P002 the short form of ssh", [][]string{{"remote", "add", "origin", "git@bitbucket.org:acme/shop.git"}},
			local.Repository{URL: "ssh://bitbucket.org/acme/shop.git", Name: "acme/shop", Provider: "Bitbucket"}},
		{"P002 a server", [][]string{{"remote", "add", "up", "http://localhost:7080/shop/web.git"}},
			local.Repository{URL: "http://localhost:7080/shop/web.git", Name: "shop/web", Provider: "TfsGit"}},
		{"P002 the service", [][]string{{"remote", "add", "origin", "https://dev.azure.com/acme/Shop/_git/web"}},
			local.Repository{URL: "https://dev.azure.com/acme/Shop/_git/web", Name: "web", Provider: "TfsGit"}},
		{"the remote that the branch follows", [][]string{
			{"remote", "add", "origin", "https://github.com/me/fork"}, {"remote", "add", "upstream", "https://github.com/acme/shop"}, {"config", "branch.main.remote", "upstream"},
		}, local.Repository{URL: "https://github.com/acme/shop", Name: "acme/shop", Provider: "GitHub"}},
		{"a folder is no name", [][]string{{"remote", "add", "origin", "/srv/git/shop.git"}}, local.Repository{}},
		{"none", nil, local.Repository{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, args := range append([][]string{{"init", "-q", "-b", "main"}}, tt.git...) {
				if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
					t.Fatalf("git %v: %v: %s", args, err, out)
				}
			}
			got, ok := local.Remote(t.Context(), dir)
			if diff := cmp.Diff(tt.want, got); diff != "" || ok != (tt.want.Name != "") {
				t.Errorf("%v (-want +got):\n%s", ok, diff)
			}
		})
	}
}
