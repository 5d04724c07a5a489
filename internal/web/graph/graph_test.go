package graph_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/web/graph"
)

var size = graph.Size{Width: 100, Height: 40, Across: 50, Between: 20}

func TestCallersStandLeftOfWhatTheyCall(t *testing.T) {
	// web calls cart and catalog, cart calls pricing and redis, both stores call one database.
	edges := []graph.Edge{{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 5}, {3, 5}}
	l := graph.Lay(6, edges, size)
	for i, e := range edges {
		if l.Nodes[e.From].X >= l.Nodes[e.To].X {
			t.Errorf("%v: %v does not stand left of %v", e, l.Nodes[e.From], l.Nodes[e.To])
		}
		way := l.Edges[i]
		from, to := way[0], way[len(way)-1]
		if from.X != l.Nodes[e.From].X+size.Width || from.Y != l.Nodes[e.From].Y+size.Height/2 || to.X != l.Nodes[e.To].X || to.Y != l.Nodes[e.To].Y+size.Height/2 {
			t.Errorf("%v: the way %v does not lead from border to border", e, way)
		}
	}
	if d := cmp.Diff(l, graph.Lay(6, edges, size)); d != "" {
		t.Errorf("the same graph is drawn in another way: %s", d)
	}
	if l.Width != 4*150-50 {
		t.Errorf("four layers are %g wide", l.Width)
	}
}

func TestRingsAndLoops(t *testing.T) {
	l := graph.Lay(3, []graph.Edge{{0, 1}, {1, 2}, {2, 0}, {1, 1}}, size)
	back := l.Edges[2]
	if back[0].X <= back[len(back)-1].X {
		t.Errorf("the edge that closes the ring runs %v", back)
	}
	if l.Edges[3] != nil {
		t.Errorf("an edge to itself has the way %v", l.Edges[3])
	}
	if l := graph.Lay(0, nil, size); l.Width != 0 || l.Height != 0 {
		t.Errorf("nothing is %g by %g", l.Width, l.Height)
	}
}

// TestNothingCrossesThatNeedNot: two chains whose order in the input is crossed.
func TestNothingCrossesThatNeedNot(t *testing.T) {
	l := graph.Lay(4, []graph.Edge{{0, 3}, {1, 2}}, size)
	if (l.Nodes[0].Y < l.Nodes[1].Y) != (l.Nodes[3].Y < l.Nodes[2].Y) {
		t.Errorf("the edges cross: %v", l.Nodes)
	}
}

// TestNodesDoNotOverlap draws graphs by chance.
func TestNodesDoNotOverlap(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 7))
		n := 1 + r.IntN(40)
		var edges []graph.Edge
		for range r.IntN(80) {
			edges = append(edges, graph.Edge{From: r.IntN(n), To: r.IntN(n)})
		}
		l := graph.Lay(n, edges, size)
		for a := range n {
			p := l.Nodes[a]
			if p.X < -.001 || p.Y < -.001 || p.X+size.Width > l.Width+.001 || p.Y+size.Height > l.Height+.001 {
				t.Fatalf("seed %d: node %d at %v stands outside of %g by %g", seed, a, p, l.Width, l.Height)
			}
			for b := range a {
				q := l.Nodes[b]
				if p.X == q.X && max(p.Y, q.Y)-min(p.Y, q.Y) < size.Height {
					t.Fatalf("seed %d: nodes %d and %d overlap: %v, %v", seed, a, b, p, q)
				}
			}
		}
	}
}

func BenchmarkLay(b *testing.B) {
	for _, n := range []int{50, 500} {
		r := rand.New(rand.NewPCG(1, 2))
		var edges []graph.Edge
		for range 4 * n {
			edges = append(edges, graph.Edge{From: r.IntN(n), To: r.IntN(n)})
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				graph.Lay(n, edges, size)
			}
		})
	}
}
