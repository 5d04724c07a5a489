package deploy

import (
	"fmt"
	"testing"

	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// TestLive wants the releases that run, and the one that a rollback goes to.
func TestLive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := newService(db)
		for env, results := range map[string][]string{
			"a": {Deployed, Deployed, "failed", Deployed, "failed", "started"}, "b": {"failed"}, "c": {Deployed},
		} {
			if _, err := s.CreateEnvironment(t.Context(), ada, "shop", env, ""); err != nil {
				t.Fatal(err)
			}
			for i, result := range results {
				err := db.Tx(t.Context(), func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), `INSERT INTO release (project, environment, number, name, chart, revision, run, commit_sha, actor, requester, images, hosts, result, why, started, finished)
						VALUES ('shop', ?, ?, 'web', '', 1, ?, '', 'user:ada', '', '[]', '[]', ?, '', 0, 0)`, env, i+1, 10+i, result)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		list, err := s.Live(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, r := range list {
			got += fmt.Sprintf("%s/%d ", r.Environment, r.Number)
		}
		if want := "a/2 a/3 a/4 a/5 a/6 b/1 c/1 "; got != want {
			t.Errorf("live: %s, want %s", got, want)
		}
	})
}
