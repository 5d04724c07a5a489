package seed_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/seed"
)

func TestRecords(t *testing.T) {
	list, err := seed.Records()
	if err != nil {
		t.Fatal(err)
	}
	date, err := seed.Date()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 4000 || date.Before(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%d advisories of %s", len(list), date)
	}
	std := 0
	for _, r := range list {
		if r.Modified.Truncate(time.Second).After(date) {
			t.Fatalf("%s is newer than the date", r.ID)
		}
		if r.Summary != "" {
			t.Fatalf("%s carries prose", r.ID)
		}
		for _, a := range r.Affected {
			if a.Ecosystem != "Go" || a.Package == "toolchain" {
				t.Fatalf("%s is about %s %s", r.ID, a.Ecosystem, a.Package)
			}
			if a.Package == "stdlib" {
				std++
			}
		}
	}
	if std == 0 {
		t.Error("nothing about the standard library")
	}
}

func TestWriteIsDeterministic(t *testing.T) {
	a := advisory.Record{ID: "GO-1", Summary: "prose", Severity: advisory.Unknown, Affected: []advisory.Affected{{Ecosystem: "Go", Package: "a.test"}, {Ecosystem: "Go", Package: "toolchain"}}}
	b := advisory.Record{ID: "GO-2", Severity: advisory.Unknown, Affected: []advisory.Affected{{Ecosystem: "Go", Package: "toolchain"}}}
	c := advisory.Record{ID: "GO-3", Severity: advisory.Unknown, Affected: []advisory.Affected{{Ecosystem: "Go", Package: "stdlib"}}}
	var one, two bytes.Buffer
	if err := seed.Write(&one, []advisory.Record{a, b, c}); err != nil {
		t.Fatal(err)
	}
	if err := seed.Write(&two, []advisory.Record{c, b, a}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the order of the input shows")
	}
	z, err := gzip.NewReader(&one)
	if err != nil {
		t.Fatal(err)
	}
	var got []advisory.Record
	if err := json.NewDecoder(z).Decode(&got); err != nil {
		t.Fatal(err)
	}
	a.Summary, a.Affected = "", a.Affected[:1]
	if diff := cmp.Diff([]advisory.Record{a, c}, got); diff != "" {
		t.Error(diff)
	}
}

// The snapshot lies beside the checkout where one is provided. The built-in file must
// then be what mkseed makes of it.
func TestSeedIsMadeFromTheSnapshot(t *testing.T) {
	const snapshot = "../../../../../shared/advisories/go-osv.zip"
	if _, err := os.Stat(snapshot); errors.Is(err, fs.ErrNotExist) {
		t.Log("no snapshot beside the checkout")
		return
	}
	batch, err := advisory.Read(t.Context(), http.DefaultClient, snapshot)
	if err != nil || batch.Rejected != 0 {
		t.Fatalf("rejected %v, %v", batch.Why, err)
	}
	var got bytes.Buffer
	if err := seed.Write(&got, batch.Records); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("go.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("go.json.gz is not what mkseed makes of the snapshot; run it again")
	}
}
