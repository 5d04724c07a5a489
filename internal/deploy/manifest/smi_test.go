package manifest_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/deploy/manifest"
	"towpath.dev/towpath/internal/fault"
)

const milli = "split.smi-spec.io/v1alpha1"

// among finds what lives among the objects of a fixture.
func among(lives []map[string]any) manifest.Live {
	return func(kind, name string) (map[string]any, error) {
		for _, o := range lives {
			if o["kind"] == kind && o["metadata"].(map[string]any)["name"] == name {
				return o, nil
			}
		}
		return nil, nil
	}
}

// TestSplitBySMIK042_K043 makes the canary of each fixture NAME-PERCENT.in.yaml with two replicas, and
// wants what deploy, promote and reject apply and delete to be that of NAME-PERCENT.golden.yaml.
func TestSplitBySMIK042_K043(t *testing.T) {
	files, err := filepath.Glob("testdata/smi/*.in.yaml")
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
			in := objects(t, name)
			got, err := manifest.SplitBySMI(in, percent, 2, milli, among(objects(t, base+".live.yaml")))
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			write := func(title string, list []map[string]any) {
				out.WriteString("# " + title + ":\n")
				for _, o := range list {
					b, err := yaml.Marshal(o)
					if err != nil {
						t.Fatal(err)
					}
					out.WriteString("---\n" + string(b))
				}
			}
			write("deploy applies", got.Objects)
			write("and then", got.Splits)
			write("promote applies", manifest.Redirect(in, manifest.Canary, milli))
			write("and then", manifest.MarkStable(in))
			write("and then, as reject at once", manifest.Redirect(in, manifest.Stable, milli))
			out.WriteString("# both delete:\n")
			for _, o := range manifest.SMICopies(in) {
				out.WriteString("# " + o.APIVersion + " " + o.Kind + " " + o.Name + "\n")
			}
			if diff := cmp.Diff(objects(t, name), in); diff != "" {
				t.Errorf("the manifests were changed:\n%s", diff)
			}
			golden(t, base, out.String())
		})
	}
}

// TestSplitBySMIWantsStable refuses a workload that lives and was never promoted, and writes
// whole numbers for the versions of the API that have them.
func TestSplitBySMIWantsStable(t *testing.T) {
	in := objects(t, "testdata/smi/first-30.in.yaml")
	if _, err := manifest.SplitBySMI(in, 30, 1, milli, among(in)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "StableSpecSelectorNotExist") {
		t.Errorf("a workload without the label: %v", err)
	}
	got := manifest.Redirect(in, manifest.Stable, "split.smi-spec.io/v1alpha4")
	want := []map[string]any{{
		"apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit", "metadata": map[string]any{"name": "web-azure-pipelines-rollout"},
		"spec": map[string]any{"service": "web", "backends": []any{
			map[string]any{"service": "web-stable", "weight": int64(1000)}, map[string]any{"service": "web-baseline", "weight": int64(0)},
			map[string]any{"service": "web-canary", "weight": int64(0)},
		}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("splits (-want +got):\n%s", diff)
	}
}
