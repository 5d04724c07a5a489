package oracle_test

import (
	"os"
	"path/filepath"
	"testing"

	"towpath.dev/towpath/internal/monitor/kql/oracle"
)

// TestExtract fills the cache from the checkouts that TOWPATH_KQL_SOURCES names.
func TestExtract(t *testing.T) {
	for _, repo := range filepath.SplitList(os.Getenv("TOWPATH_KQL_SOURCES")) {
		corpus, texts, err := oracle.Extract(repo)
		if err != nil {
			t.Fatal(err)
		}
		if len(texts) == 0 {
			t.Fatalf("%s holds none of the texts that are looked for", repo)
		}
		if err := oracle.Save(corpus, texts); err != nil {
			t.Fatal(err)
		}
		outputs := 0
		for _, x := range texts {
			if x.Output != "" {
				outputs++
			}
		}
		t.Logf("%s: %d texts, %d with an output", corpus, len(texts), outputs)
	}
}
