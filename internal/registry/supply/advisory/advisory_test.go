package advisory_test

import (
	"archive/zip"
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/store"
	"towpath.dev/towpath/internal/store/storetest"
)

// The vectors and scores are of well-known advisories, as the NVD publishes them.
func TestScore3(t *testing.T) {
	for vector, want := range map[string]float64{
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H":          10,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H":          9.8,
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H":          7.5,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N":          6.1,
		"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H":          7.8,
		"CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N":          5.9,
		"CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H":          9.9,
		"CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N":          1.6,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N":          0,
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O": 9.8,
	} {
		got, err := advisory.Score3(vector)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", vector, got, err, want)
		}
	}
	for _, bad := range []string{
		"", "CVSS:3.1/", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", "CVSS:3.1/AV:N", "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
		"CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A",
	} {
		if got, err := advisory.Score3(bad); err == nil {
			t.Errorf("%q: accepted as %v", bad, got)
		}
	}
}

const ghsa = `{"schema_version":"1.4.0","id":"GHSA-aaaa-bbbb-cccc","modified":"2026-05-02T10:00:00Z","published":"2026-05-01T10:00:00Z",
 "aliases":["CVE-2026-0002","CVE-2026-0001","CVE-2026-0001","bad alias!"],"summary":"A flaw","details":"prose that is not kept",
 "severity":[{"type":"CVSS_V4","score":"CVSS:4.0/AV:N"},{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
 "affected":[{"package":{"ecosystem":"npm","name":"left"},"versions":["1.0.0"],"ranges":[
   {"type":"GIT","events":[{"introduced":"0"}]},{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.0"}]}]},
  {"ranges":[{"type":"GIT","events":[{"introduced":"0"}]}]}],
 "database_specific":{"severity":"LOW"},"new_field":1}`

func TestParse(t *testing.T) {
	got, err := advisory.Parse([]byte(ghsa))
	if err != nil {
		t.Fatal(err)
	}
	want := advisory.Record{
		ID: "GHSA-aaaa-bbbb-cccc", Aliases: []string{"CVE-2026-0001", "CVE-2026-0002"}, Summary: "A flaw", Severity: advisory.High, Score: 7.5,
		Modified: time.Date(2026, 5, 2, 10, 0, 0, 0, time.UTC), Published: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC),
		Affected: []advisory.Affected{{Ecosystem: "npm", Package: "left", Versions: []string{"1.0.0"}, Ranges: []advisory.Range{{{Introduced: "0"}, {Fixed: "1.2.0"}}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for word, want := range map[string]advisory.Severity{`"MODERATE"`: advisory.Medium, `"CRITICAL"`: advisory.Critical, `7`: advisory.Unknown, `"odd"`: advisory.Unknown} {
		r, err := advisory.Parse([]byte(`{"id":"X-1","database_specific":{"severity":` + word + `}}`))
		if err != nil || r.Severity != want {
			t.Errorf("%s: %s, %v", word, r.Severity, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		kind fault.Kind
	}{
		"no JSON":          {`<html>`, fault.Invalid},
		"no id":            {`{"aliases":[]}`, fault.Invalid},
		"id with a path":   {`{"id":"../x"}`, fault.Invalid},
		"two bounds":       {`{"id":"X-1","affected":[{"package":{"ecosystem":"Go","name":"a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0","fixed":"1"}]}]}]}`, fault.Invalid},
		"not UTF-8":        {"{\"id\":\"X-1\",\"summary\":\"\xff\"}", fault.Invalid},
		"too large":        {`{"id":"X-1","summary":"` + strings.Repeat("a", advisory.MaxEntry) + `"}`, fault.TooLarge},
		"too many aliases": {`{"id":"X-1","aliases":["` + strings.Repeat(`a","`, 600) + `"]}`, fault.TooLarge},
		"long version":     {`{"id":"X-1","affected":[{"package":{"ecosystem":"Go","name":"a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"` + strings.Repeat("1", 600) + `"}]}]}]}`, fault.TooLarge},
	} {
		if r, err := advisory.Parse([]byte(c.text)); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

func zipOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadSources(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"a.json": ghsa, "sub/b.json": `{"id":"X-2"}`, "bad.json": `{`, "README.md": "no"}
	for p, text := range files {
		p = filepath.Join(dir, "tree", p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	all := filepath.Join(dir, "all.zip")
	if err := os.WriteFile(all, zipOf(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	for _, source := range []string{filepath.Join(dir, "tree"), all, srv.URL + "/all.zip"} {
		b, err := advisory.Read(t.Context(), srv.Client(), source)
		if err != nil || len(b.Records) != 2 || b.Rejected != 1 || len(b.Why) != 1 {
			t.Errorf("%s: %d records, %d rejected %v, %v", source, len(b.Records), b.Rejected, b.Why, err)
		}
	}
	if _, err := advisory.Read(t.Context(), srv.Client(), srv.URL+"/none.zip"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("missing URL: %v", err)
	}
	if _, err := advisory.Read(t.Context(), srv.Client(), filepath.Join(dir, "none")); !fault.Is(err, fault.NotFound) {
		t.Errorf("missing path: %v", err)
	}
}

func TestReadZipLimitsWhatIsUnpacked(t *testing.T) {
	bomb := zipOf(t, map[string]string{"a.json": `{"id":"X-1","summary":"` + strings.Repeat(" ", 2*advisory.MaxEntry) + `"}`})
	b, err := advisory.ReadZip(t.Context(), bytes.NewReader(bomb), int64(len(bomb)))
	if err != nil || b.Rejected != 1 || len(b.Records) != 0 {
		t.Errorf("%+v, %v", b, err)
	}
}

func load(t *testing.T, db *store.DB, s *advisory.Store, source string, keep bool, records ...advisory.Record) advisory.Loaded {
	t.Helper()
	var out advisory.Loaded
	err := db.Tx(t.Context(), func(tx *store.Tx) (err error) {
		out, err = s.Load(t.Context(), tx, source, records, time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), keep)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLoad(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := advisory.New(db)
		day := func(d int) time.Time { return time.Date(2026, 10, d, 0, 0, 0, 0, time.UTC) }
		rec := func(d int, fixed string) advisory.Record {
			return advisory.Record{ID: "X-1", Aliases: []string{"CVE-1"}, Modified: day(d), Severity: advisory.Unknown,
				Affected: []advisory.Affected{{Ecosystem: "Go", Package: "a.test/b", Ranges: []advisory.Range{{{Introduced: "0"}, {Fixed: fixed}}}}}}
		}
		fixed := func() string {
			r, err := s.Get(t.Context(), "CVE-1")
			if err != nil || len(r.Affected) != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			return r.Affected[0].Ranges[0][1].Fixed
		}
		for i, c := range []struct {
			rec     advisory.Record
			keep    bool
			changed int
			fixed   string
		}{
			{rec(5, "1.1"), true, 1, "1.1"},
			{rec(5, "1.1"), false, 0, "1.1"}, // unchanged
			{rec(4, "1.0"), false, 0, "1.1"}, // older
			{rec(5, "1.2"), true, 0, "1.1"},  // as old, but the seed gives way
			{rec(5, "1.2"), false, 1, "1.2"},
			{rec(6, "1.3"), true, 1, "1.3"},
		} {
			if got := load(t, db, s, "test", c.keep, c.rec); len(got.Changed) != c.changed {
				t.Errorf("%d: changed %v", i, got.Changed)
			}
			if got := fixed(); got != c.fixed {
				t.Errorf("%d: fixed in %s, want %s", i, got, c.fixed)
			}
		}
		rules, err := s.About(t.Context(), db, "Go", "a.test/b")
		if err != nil || len(rules) != 1 {
			t.Errorf("rules: %v, %v", rules, err)
		}
		gone := rec(7, "1.3")
		gone.Withdrawn = day(7)
		load(t, db, s, "test", false, gone)
		if rules, err = s.About(t.Context(), db, "Go", "a.test/b"); err != nil || len(rules) != 0 {
			t.Errorf("a withdrawn advisory affects: %v, %v", rules, err)
		}
		c, err := s.Coverage(t.Context(), db)
		if err != nil || len(c) != 1 || c[0].Ecosystem != "Go" || c[0].Entries != 1 || !c[0].Date.Equal(day(7)) {
			t.Errorf("coverage: %+v, %v", c, err)
		}
		if _, err := s.Get(t.Context(), "none"); !fault.Is(err, fault.NotFound) {
			t.Errorf("unknown advisory: %v", err)
		}
		if l, err := s.List(t.Context(), "a.test/b", 5); err != nil || len(l) != 1 {
			t.Errorf("list: %v, %v", l, err)
		}
	})
}

func TestFailedLoadLeavesNothing(t *testing.T) {
	db := storetest.SQLite(t)
	s := advisory.New(db)
	err := db.Tx(t.Context(), func(tx *store.Tx) error {
		if _, err := s.Load(t.Context(), tx, "test", []advisory.Record{{ID: "X-1"}}, time.Now(), false); err != nil {
			return err
		}
		return context.Canceled
	})
	if err == nil {
		t.Fatal("committed")
	}
	if _, err := s.Get(t.Context(), "X-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("still there: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(ghsa))
	f.Add([]byte(`{"id":"X-1","affected":[{"package":{"ecosystem":"Go","name":"a"},"ranges":[{"type":"SEMVER","events":[{"limit":"2"}]}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := advisory.Parse(data)
		if err != nil {
			return
		}
		if r.ID == "" || strings.ContainsAny(r.ID, "/ \n") {
			t.Errorf("unsafe id %q", r.ID)
		}
		for _, a := range r.Affected {
			if a.Package == "" || a.Ecosystem == "" || len(a.Ranges)+len(a.Versions) == 0 {
				t.Errorf("empty affected %+v", a)
			}
		}
	})
}

func FuzzScore3(f *testing.F) {
	f.Add("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H")
	f.Add("CVSS:3.0/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N/E:X")
	f.Fuzz(func(t *testing.T, vector string) {
		score, err := advisory.Score3(vector)
		if err == nil && (score < 0 || score > 10) {
			t.Errorf("%q scores %v", vector, score)
		}
	})
}
