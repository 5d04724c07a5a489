package gallery_test

import (
	"context"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/blob"
	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/validate"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

var (
	admin  = identity.Actor{Kind: identity.KindUser, Name: "ada", Cap: identity.Admin}
	keeper = identity.Actor{Kind: identity.KindUser, Name: "kay", Cap: identity.Maintain}
	writer = identity.Actor{Kind: identity.KindUser, Name: "wim", Cap: identity.Write}
)

// auth lets everybody do in the projects shop and blog what his token allows.
type auth struct{}

func (auth) Require(_ context.Context, a identity.Actor, project string, r identity.Role) error {
	if project != "shop" && project != "blog" {
		return fault.New(fault.NotFound, "There is no project.")
	}
	if a.Cap < r {
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

func (auth) RequireAdmin(_ context.Context, a identity.Actor) error {
	if a.Cap < identity.Admin {
		return fault.New(fault.Denied, "You may not.")
	}
	return nil
}

func service(t *testing.T, db *store.DB) (*gallery.Service, *event.Log) {
	t.Helper()
	blobs, err := blob.Open(t.Context(), blob.Config{Driver: "filesystem", Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	log := event.New(db, clock.System())
	return gallery.New(gallery.Parts{DB: db, Log: log, Auth: auth{}, Clock: clock.System(), Blobs: blobs, Builtin: validate.Builtin()}), log
}

func TestAddedTasks(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s, _ := service(t, db)
		ctx := t.Context()
		add := func(a identity.Actor, project string, data []byte) error {
			_, err := s.Add(ctx, a, project, data)
			return err
		}
		for name, err := range map[string]error{
			"a writer":                       add(writer, "shop", probe(t, 0, "")),
			"a maintainer for everybody":     add(keeper, "", probe(t, 0, "")),
			"a maintainer of something else": s.Remove(ctx, writer, "shop", "Probe"),
		} {
			if !fault.Is(err, fault.Denied) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := add(keeper, "shop", probe(t, 1, "")); err != nil {
			t.Fatal(err)
		}
		if err := add(keeper, "shop", probe(t, 1, "")); err != nil {
			t.Errorf("the same once more: %v", err)
		}
		if err := add(keeper, "shop", probe(t, 1, `, "description": "other"`)); !fault.Is(err, fault.Conflict) {
			t.Errorf("other files under the same version: %v", err)
		}
		if err := add(keeper, "shop", probe(t, 2, "")); err != nil {
			t.Fatal(err)
		}
		if err := add(admin, "", probe(t, 9, "")); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"a built-in name": strings.Replace(strings.Replace(manifest(0, ""), `"Probe"`, `"Bash"`, 1), `"Major": 1`, `"Major": 3`, 1),
			"another's name":  strings.Replace(manifest(0, ""), taskID, strings.Replace(taskID, "3e", "4e", 1), 1),
			"another's id":    strings.Replace(manifest(0, ""), `"Probe"`, `"Prober"`, 1),
		} {
			if err := add(keeper, "shop", pack(t, entry{name: "task.json", text: text}, entry{name: "index.js"})); !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: %v", name, err)
			}
		}
		checkCatalogs(t, s, db)
		if err := s.Remove(ctx, keeper, "shop", "probe@1.2.0"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Show(ctx, writer, "shop", "Probe"); err != nil || got.Version != "1.9.0" {
			t.Errorf("%+v, %v", got, err)
		}
		if err := s.Remove(ctx, keeper, "blog", "Probe"); !fault.Is(err, fault.Conflict) {
			t.Errorf("removing what belongs to the installation: %v", err)
		}
	})
}

// checkCatalogs looks at what the pipelines of two projects get: the newest version of a
// major, by name, GUID and full name, in any case; the project's own before that of all (K005).
func checkCatalogs(t *testing.T, s *gallery.Service, db *store.DB) {
	t.Helper()
	for project, version := range map[string]string{"shop": "1.2.0", "blog": "1.9.0"} {
		c, err := s.Catalog(t.Context(), db, project)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Probe", "PROBE", taskID, "acme.tools.probe-task.Probe"} {
			task, ok := c.Task(name, 1)
			if !ok {
				t.Errorf("%s has no %s", project, name)
				continue
			}
			if got, ok := c.Added(task.Name + "@1"); !ok || got.Version != version {
				t.Errorf("%s as %s in %s, want %s", got.Version, name, project, version)
			}
		}
		if _, ok := c.Task("Probe", 2); ok {
			t.Error("there is a version 2")
		}
		if _, ok := c.Task("Bash", 3); !ok {
			t.Error("Bash is gone")
		}
	}
}

func TestChangesAreInTheLogbook(t *testing.T) {
	s, log := service(t, storetest.SQLite(t))
	if _, err := s.Add(t.Context(), admin, "", probe(t, 0, "")); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), admin, "", "Probe@1"); err != nil {
		t.Fatal(err)
	}
	events, err := log.Read(t.Context(), event.Query{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, e := range events {
		said = append(said, e.Type+" "+e.Actor)
	}
	if got := strings.Join(said, ", "); strings.Count(got, "task.changed user:ada") != 2 {
		t.Error(got)
	}
}
