package scan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/clock"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/sbom"
	"towpath.dev/towpath/internal/registry/supply/scan"
	"towpath.dev/towpath/internal/registry/supply/seed"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

func TestAffects(t *testing.T) {
	rng := func(events ...advisory.Event) advisory.Affected {
		return advisory.Affected{Ranges: []advisory.Range{events}}
	}
	in := func(v string) advisory.Event { return advisory.Event{Introduced: v} }
	fx := func(v string) advisory.Event { return advisory.Event{Fixed: v} }
	la := func(v string) advisory.Event { return advisory.Event{LastAffected: v} }
	std := rng(in("0"), fx("1.25.13"), in("1.26.0-0"), fx("1.26.6"), in("1.27.0-0"), fx("1.27.0-rc.3"))
	for _, c := range []struct {
		aff       advisory.Affected
		ecosystem string
		version   string
		hit       bool
		fixed     string
	}{
		{std, "Go", "1.24.0", true, "1.25.13"},
		{std, "Go", "1.25.13", false, ""},
		{std, "Go", "1.26.0-rc.1", true, "1.26.6"},
		{std, "Go", "1.26.5", true, "1.26.6"},
		{std, "Go", "1.26.6", false, ""},
		{std, "Go", "1.27.0-rc.2", true, "1.27.0-rc.3"},
		{std, "Go", "1.27.0", false, ""},
		{rng(fx("1.2.0"), in("0")), "Go", "1.1.0", true, "1.2.0"}, // events in any order
		{rng(in("0")), "Go", "0.0.0-20200101000000-abcdefabcdef", true, ""},
		{rng(in("1.0.0"), la("1.4.0")), "npm", "1.4.0", true, ""},
		{rng(in("1.0.0"), la("1.4.0")), "npm", "1.4.1", false, ""},
		{rng(in("1.0.0"), advisory.Event{Limit: "2.0.0"}), "npm", "2.0.0", false, ""},
		{rng(fx("2.0.0")), "npm", "1.0.0", false, ""}, // never introduced
		{advisory.Affected{Versions: []string{"1.0.0"}}, "npm", "1.0.0", true, ""},
		{advisory.Affected{Versions: []string{"1.0.0"}}, "npm", "1.0", false, ""},
		{rng(in("0"), fx("3.0.11-1~deb12u2")), "Debian:12", "3.0.11-1", false, ""}, // "~" sorts before the end
		{rng(in("0"), fx("3.0.11-1~deb12u2")), "Debian:12", "3.0.11-1~deb12u1", true, "3.0.11-1~deb12u2"},
		{rng(in("0"), fx("1:2.0-1")), "Debian:12", "9.0-1", true, "1:2.0-1"},
		{rng(in("0"), fx("3.3.0-r3")), "Alpine:v3.20", "3.3.0-r2", true, "3.3.0-r3"},
	} {
		hit, fixed, err := scan.Affects(c.aff, c.ecosystem, c.version)
		if hit != c.hit || fixed != c.fixed || err != nil {
			t.Errorf("%s %s in %+v: %v %q %v", c.ecosystem, c.version, c.aff, hit, fixed, err)
		}
	}
	if _, _, err := scan.Affects(std, "No Such", "1"); err == nil {
		t.Error("an unknown ecosystem was compared")
	}
}

// world is an index with its advisories.
type world struct {
	db         *store.DB
	advisories *advisory.Store
	matcher    *scan.Matcher
	clock      clock.Clock
}

func newWorld(db *store.DB) *world {
	a := advisory.New(db)
	return &world{db: db, advisories: a, matcher: scan.New(db, a), clock: clock.Fixed(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Second)}
}

func (w *world) tx(t testing.TB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := w.db.Tx(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// load loads records and returns the images to be judged anew.
func (w *world) load(t testing.TB, records ...advisory.Record) (images []string) {
	t.Helper()
	w.tx(t, func(tx *store.Tx) error {
		l, err := w.advisories.Load(t.Context(), tx, "test", records, w.clock.Now(), false)
		if err != nil {
			return err
		}
		images, err = w.matcher.Rematch(t.Context(), tx, l.Changed)
		return err
	})
	return images
}

func (w *world) index(t testing.TB, image string, packages ...sbom.Package) {
	t.Helper()
	w.tx(t, func(tx *store.Tx) error { return w.matcher.Index(t.Context(), tx, image, w.clock.Now(), packages, "") })
}

func (w *world) judge(t testing.TB, images ...string) (v scan.Verdict, changed bool) {
	t.Helper()
	w.tx(t, func(tx *store.Tx) error {
		coverage, err := w.advisories.Coverage(t.Context(), tx)
		if err != nil {
			return err
		}
		for _, i := range images {
			if v, changed, err = w.matcher.Judge(t.Context(), tx, i, coverage, w.clock.NewID, w.clock.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	return v, changed
}

func (w *world) findings(t testing.TB, image string) []scan.Finding {
	t.Helper()
	f, err := w.matcher.Findings(t.Context(), w.db, image)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func golang(name, version string) sbom.Package {
	return sbom.Package{Type: "golang", Ecosystem: "Go", Name: name, Version: version, MatchName: name, MatchVersion: version, PURL: "pkg:golang/" + name + "@" + version, Path: "app", Layer: "sha256:1"}
}

func rec(id, pkg, fixed string, s advisory.Severity, aliases ...string) advisory.Record {
	return advisory.Record{ID: id, Aliases: aliases, Severity: s, Modified: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
		Affected: []advisory.Affected{{Ecosystem: "Go", Package: pkg, Ranges: []advisory.Range{{{Introduced: "0"}, {Fixed: fixed}}}}}}
}

func TestVerdicts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(db)
		deb := sbom.Package{Type: "deb", Ecosystem: "Debian:12", Name: "libssl3", Version: "3", MatchName: "openssl", MatchVersion: "3", PURL: "pkg:deb/debian/libssl3@3"}
		w.index(t, "bare")
		w.index(t, "go", golang("a.test/x", "1.0.0"), golang("main.test", ""))
		w.index(t, "both", golang("a.test/x", "1.0.0"), deb)
		status := func(image string) string {
			v, _ := w.judge(t, image)
			return fmt.Sprint(v.Status, v.Missing, v.Critical, v.High, v.Medium, v.Low, v.Unknown)
		}
		expect := func(want map[string]string) {
			t.Helper()
			got := map[string]string{}
			for i := range want {
				got[i] = status(i)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		expect(map[string]string{"bare": "no advisory data[] 0 0 0 0 0", "go": "no advisory data[Go] 0 0 0 0 0", "both": "no advisory data[Debian:12 Go] 0 0 0 0 0"})
		// Data about the ecosystem, none about the package.
		if got := w.load(t, rec("GO-1", "a.test/other", "9.0.0", advisory.High)); !slices.Equal(got, []string{"both", "go"}) {
			t.Errorf("images that lacked data: %v", got)
		}
		expect(map[string]string{"bare": "no advisory data[] 0 0 0 0 0", "go": "clean[] 0 0 0 0 0", "both": "no advisory data[Debian:12] 0 0 0 0 0"})
		if got := w.load(t, rec("GO-2", "a.test/x", "1.1.0", advisory.Unknown)); !slices.Equal(got, []string{"both", "go"}) {
			t.Errorf("images that are hit: %v", got)
		}
		expect(map[string]string{"go": "findings[] 0 0 0 0 1", "both": "findings[Debian:12] 0 0 0 0 1"})
		// An image that comes later is matched at once.
		w.index(t, "late", golang("a.test/x", "1.0.5"), golang("a.test/other", "9.0.0"))
		expect(map[string]string{"late": "findings[] 0 0 0 0 1"})
		if _, changed := w.judge(t, "late"); changed {
			t.Error("judging twice changed the verdict")
		}
	})
}

func TestAliasesAreOneFinding(t *testing.T) {
	w := newWorld(storetest.SQLite(t))
	w.index(t, "go", golang("a.test/x", "1.0.0"))
	w.load(t, rec("GO-2", "a.test/x", "", advisory.Unknown, "CVE-1"))
	w.judge(t, "go")
	w.load(t, rec("GHSA-1", "a.test/x", "1.1.0", advisory.Critical, "CVE-1", "GO-2"))
	v, changed := w.judge(t, "go")
	f := w.findings(t, "go")
	if !changed || v.Critical != 1 || v.Unknown != 0 || len(f) != 1 || f[0].Advisory != "GO-2" || f[0].Fixed != "1.1.0" {
		t.Errorf("%+v %+v", v, f)
	}
	if diff := cmp.Diff([]string{"CVE-1", "GHSA-1"}, f[0].Aliases); diff != "" {
		t.Error(diff)
	}
}

func TestLifeOfAFinding(t *testing.T) {
	w := newWorld(storetest.SQLite(t))
	w.index(t, "go", golang("a.test/x", "1.0.0"))
	r := rec("GO-2", "a.test/x", "1.1.0", advisory.High)
	w.load(t, r)
	w.judge(t, "go")
	first := w.findings(t, "go")[0].First
	gone := r
	gone.Withdrawn = r.Modified.Add(time.Hour)
	gone.Modified = gone.Withdrawn
	w.load(t, gone)
	if v, changed := w.judge(t, "go"); !changed || v.Status != scan.StatusClean {
		t.Errorf("after the withdrawal: %+v", v)
	}
	ended, err := w.matcher.Ended(t.Context(), "go")
	if err != nil || len(ended) != 1 || !ended[0].First.Equal(first) || !ended[0].Gone.After(first) {
		t.Errorf("ended: %+v, %v", ended, err)
	}
	r.Modified = gone.Modified.Add(time.Hour)
	w.load(t, r)
	w.judge(t, "go")
	if f := w.findings(t, "go"); len(f) != 1 || !f[0].First.Equal(first) {
		t.Errorf("the returned finding forgot when it was first seen: %+v", f)
	}
}

// A large source goes another way than a single advisory and comes to the same.
func TestLargeSource(t *testing.T) {
	w := newWorld(storetest.SQLite(t))
	w.index(t, "go", golang("a.test/x7", "1.0.0"), golang("a.test/x8", "1.0.0"))
	w.index(t, "none", golang("b.test/y", "1.0.0"))
	list := func(fixed string) (out []advisory.Record) {
		for i := range 200 {
			out = append(out, rec(fmt.Sprintf("GO-%d", i), fmt.Sprintf("a.test/x%d", i), fixed, advisory.Low))
		}
		return out
	}
	w.load(t, list("1.1.0")...)
	if v, _ := w.judge(t, "go"); v.Low != 2 {
		t.Errorf("%+v", v)
	}
	if v, _ := w.judge(t, "none"); v.Status != scan.StatusClean {
		t.Errorf("%+v", v)
	}
	if got := w.load(t, list("0.9.0")...); !slices.Equal(got, []string{"go"}) {
		t.Errorf("images to judge: %v", got)
	}
	if v, _ := w.judge(t, "go"); v.Status != scan.StatusClean {
		t.Errorf("matches that no longer hold stayed: %+v", v)
	}
}

func TestForget(t *testing.T) {
	w := newWorld(storetest.SQLite(t))
	w.index(t, "go", golang("a.test/x", "1.0.0"))
	w.tx(t, func(tx *store.Tx) error { return w.matcher.Forget(t.Context(), tx, "go") })
	if got := w.load(t, rec("GO-2", "a.test/x", "1.1.0", advisory.High)); len(got) != 0 {
		t.Errorf("a forgotten image is judged: %v", got)
	}
}

func FuzzAffects(f *testing.F) {
	f.Add("Go", "1.2.3", "0", "1.2.4")
	f.Add("Debian:12", "1:2.3~a-1", "0", "2")
	f.Add("Alpine:v3.20", "1.2.3_rc1-r0", "1.0", "1.2.3-r0")
	f.Add("npm", "1.0.0-beta.1+x", "1.0.0-alpha", "1.0.0")
	f.Fuzz(func(t *testing.T, ecosystem, version, introduced, fixed string) {
		if len(version)+len(introduced)+len(fixed) > 500 || introduced == "" || fixed == "" {
			return
		}
		a := advisory.Affected{Ranges: []advisory.Range{{{Introduced: introduced}, {Fixed: fixed}}}}
		hit, fix, err := scan.Affects(a, ecosystem, version)
		if err == nil && !hit && fix != "" {
			t.Errorf("a fix %q for what is not affected", fix)
		}
	})
}

// fleet indexes n images that share most of their packages, as images of one
// organisation do, with real advisories loaded.
func fleet(b *testing.B, n int) (*world, []string) {
	b.Helper()
	w := newWorld(storetest.SQLite(b))
	records, err := seed.Records()
	if err != nil {
		b.Fatal(err)
	}
	w.load(b, records...)
	var names []string
	for _, r := range records {
		names = append(names, r.Affected[0].Package)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	var images []string
	for i := range n {
		packages := []sbom.Package{golang("shared.test/x", "1.0.0")}
		for j := range 300 {
			name := fmt.Sprintf("clean.test/m%d", (i*7+j)%2000)
			if j%60 == 0 {
				name = names[(i+j)%len(names)]
			}
			packages = append(packages, golang(name, fmt.Sprintf("1.%d.0", (i/10+j)%40)))
		}
		image := fmt.Sprintf("sha256:%064d", i)
		w.index(b, image, packages...)
		images = append(images, image)
	}
	return w, images
}

// BenchmarkJudge1000 judges 1,000 images of 300 packages each anew.
func BenchmarkJudge1000(b *testing.B) {
	w, images := fleet(b, 1000)
	for b.Loop() {
		w.judge(b, images...)
	}
}

// BenchmarkNewAdvisory brings a new advisory about a package in 1,000 images and
// renews every verdict that it touches.
func BenchmarkNewAdvisory(b *testing.B) {
	w, images := fleet(b, 1000)
	w.judge(b, images...)
	n := 0
	for b.Loop() {
		n++
		hit := w.load(b, rec(fmt.Sprintf("GO-9999-%d", n), "shared.test/x", "1.1.0", advisory.High))
		w.judge(b, hit...)
		if len(hit) != len(images) {
			b.Fatalf("%d images hit", len(hit))
		}
	}
}

func TestReportIsStable(t *testing.T) {
	r := scan.Report{Repository: "shop/web", Verdict: scan.Verdict{Image: "sha256:1", Status: scan.StatusClean}}
	one, err := r.Encode()
	if err != nil || !strings.Contains(string(one), `"findings": []`) {
		t.Errorf("%s, %v", one, err)
	}
}
