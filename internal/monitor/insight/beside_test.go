package insight_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestBeside has a canary and the stable release serve at the same time.
func TestBeside(t *testing.T) {
	for _, c := range []struct {
		name string
		n    int
		fail map[string]float64 // of the canary
		want []string
	}{
		{"Clean", 400, nil, nil},
		{"Fails", 400, map[string]float64{"GET /cart": 0.2, "POST /order": 0.9}, []string{"POST /order worse", "GET /cart worse"}},
		{"TooFewToBeSure", 20, map[string]float64{"GET /cart": 1}, []string{"GET /cart unclear"}},
		{"NothingArrived", 0, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := inMemory(t), rand.New(rand.NewPCG(1, 2))
			w.serve(r, traffic{release: "shop/production/47", from: start(), n: c.n, base: base()})
			w.serve(r, traffic{release: "shop/production/48", from: start(), n: c.n, fail: c.fail, base: base()})
			w.clock.Set(start().Add(15 * time.Minute))
			ops, err := w.Beside(t.Context(), "shop", "production", "shop/production/48", "shop/production/47", start())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, o := range ops {
				got = append(got, o.Name+" "+o.Verdict)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("operations (-want +got):\n%s", diff)
			}
		})
	}
}
