package render_test

import (
	"context"
	"testing"

	"towpath.dev/towpath/internal/policy/render"
)

// BenchmarkRender renders the sample, twice as every rendering does, and finds a line in
// each object.
func BenchmarkRender(b *testing.B) {
	c := render.Chart{
		Files: tree(b, "../../../examples/shop/charts/shop"), Base: "charts/shop", Release: "shop", Namespace: "shop",
		Set: []string{"registry=localhost:7080,web.digest=$(a),catalog.digest=$(b),cart.digest=$(c),pricing.digest=$(d)"},
	}
	for b.Loop() {
		got, err := render.Render(context.Background(), c)
		if err != nil || len(got.Objects) != 9 {
			b.Fatal(len(got.Objects), err)
		}
		for i := range got.Objects {
			got.Objects[i].Places("spec.template.spec.containers[0].securityContext")
		}
	}
}
