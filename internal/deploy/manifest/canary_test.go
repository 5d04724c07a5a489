package manifest_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

func objects(t *testing.T, name string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for dec := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
		var o map[string]any
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
}

// golden wants a text to be that of BASE.golden.yaml, which -update writes.
func golden(t *testing.T, base, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(base+".golden.yaml", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(base + ".golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// TestSplitK041_K043 makes the canary of each fixture NAME-PERCENT.in.yaml, beside what lives by
// NAME-PERCENT.live.yaml, and wants the objects of NAME-PERCENT.golden.yaml in that order.
func TestSplitK041_K043(t *testing.T) {
	files, err := filepath.Glob("testdata/pod/*.in.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, name := range files {
		base := strings.TrimSuffix(name, ".in.yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			percent, err := strconv.Atoi(base[strings.LastIndexByte(base, '-')+1:])
			if err != nil {
				t.Fatal(err)
			}
			in := manifest.Expand(objects(t, name))
			got, err := manifest.Split(in, percent, among(objects(t, base+".live.yaml")))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(manifest.Expand(objects(t, name)), in); diff != "" {
				t.Errorf("the manifests were changed:\n%s", diff)
			}
			var out strings.Builder
			for _, o := range got {
				b, err := yaml.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString("---\n" + string(b))
			}
			out.WriteString("# deleted by promote and reject:\n")
			for _, o := range manifest.Copies(in) {
				out.WriteString("# " + o.APIVersion + " " + o.Kind + " " + o.Name + "\n")
			}
			golden(t, base, out.String())
		})
	}
}
