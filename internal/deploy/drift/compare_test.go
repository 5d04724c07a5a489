package drift_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/yaml"

	"towpath.dev/towpath/internal/deploy/drift"
)

// want is the third document of a fixture.
type want struct {
	Options drift.Options `json:"options"`
	Drift   []string      `json:"drift"`
}

// TestFixtures compares the two objects of each fixture, a manifest and what lives, and
// wants the fields of the third document. A new case is a new file.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			var docs []json.RawMessage
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for dec := yaml.NewYAMLOrJSONDecoder(f, 4096); ; {
				var d json.RawMessage
				if err := dec.Decode(&d); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				docs = append(docs, d)
			}
			if len(docs) != 3 {
				t.Fatalf("it has %d documents, want the manifest, the live object and the drift", len(docs))
			}
			var manifest, live map[string]any
			var w want
			if err := errors.Join(json.Unmarshal(docs[0], &manifest), json.Unmarshal(docs[1], &live), json.Unmarshal(docs[2], &w)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(w.Drift, drift.Compare(manifest, live, w.Options), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("drift (-want +got):\n%s", diff)
			}
			if self := drift.Compare(manifest, manifest, drift.Options{}); manifest["stringData"] == nil && len(self) != 0 {
				t.Errorf("the manifest differs from itself in %v", self)
			}
		})
	}
}
