package graph

import (
	"cmp"
	"slices"
)

// Edge leads from one node to another. An edge from a node to itself has no way: who draws
// makes a loop of it.
type Edge struct{ From, To int }

// Point is a place; x grows to the right, y down.
type Point struct{ X, Y float64 }

// Size says how large nodes are and how far apart, in the unit of the drawing.
type Size struct {
	Width, Height float64 // of a node
	Across        float64 // between two layers
	Between       float64 // between two nodes of a layer
}

// Layout is where everything stands.
type Layout struct {
	Width, Height float64
	Nodes         []Point   // the top left corner of each node
	Edges         [][]Point // from border to border; none for an edge to itself
}

// sweeps is how often the order of the layers is improved; more changes nothing that one sees.
const sweeps = 8

// Lay places n nodes. Edges must name nodes from 0 to n-1.
func Lay(n int, edges []Edge, s Size) Layout {
	d := &drawing{size: s, back: rings(n, edges)}
	d.rank(n, edges)
	d.bend(n, edges)
	d.order()
	d.place()
	return d.result(n, edges)
}

// drawing is a graph on its way to a layout. Its places are the nodes and, after them,
// the bends of edges that cross a layer.
type drawing struct {
	size   Size
	back   []bool  // of edges: it closes a ring
	layer  []int   // of places
	layers [][]int // places by layer, in their order
	left   [][]int // neighbours of a place in the layer before
	right  [][]int // and in the one after
	bends  [][]int // of edges: their places between the ends, from left to right
	bend0  int     // the first place that is a bend
	y      []float64
}

// rings marks the edges that lead back to a node from which one came.
func rings(n int, edges []Edge) []bool {
	out, in := make([][]int, n), make([]int, n)
	for i, e := range edges {
		if e.From != e.To {
			out[e.From] = append(out[e.From], i)
			in[e.To]++
		}
	}
	back, state := make([]bool, len(edges)), make([]byte, n) // 1 is on the way, 2 is done
	type step struct{ node, next int }
	walk := func(root int) {
		if state[root] != 0 {
			return
		}
		state[root] = 1
		for way := []step{{root, 0}}; len(way) > 0; {
			at := &way[len(way)-1]
			if at.next == len(out[at.node]) {
				state[at.node] = 2
				way = way[:len(way)-1]
				continue
			}
			i := out[at.node][at.next]
			at.next++
			switch to := edges[i].To; state[to] {
			case 0:
				state[to] = 1
				way = append(way, step{to, 0})
			case 1:
				back[i] = true
			}
		}
	}
	for v := range n {
		if in[v] == 0 {
			walk(v)
		}
	}
	for v := range n {
		walk(v)
	}
	return back
}

// ends are the ends of an edge from left to right.
func (d *drawing) ends(i int, e Edge) (left, right int) {
	if d.back[i] {
		return e.To, e.From
	}
	return e.From, e.To
}

// rank gives each node the layer after the last of its callers.
func (d *drawing) rank(n int, edges []Edge) {
	d.layer = make([]int, n)
	out, in := make([][]int, n), make([]int, n)
	for i, e := range edges {
		if l, r := d.ends(i, e); l != r {
			out[l] = append(out[l], r)
			in[r]++
		}
	}
	var ready []int
	for v := range n {
		if in[v] == 0 {
			ready = append(ready, v)
		}
	}
	for len(ready) > 0 {
		v := ready[0]
		ready = ready[1:]
		for _, w := range out[v] {
			d.layer[w] = max(d.layer[w], d.layer[v]+1)
			if in[w]--; in[w] == 0 {
				ready = append(ready, w)
			}
		}
	}
}

// bend gives edges that cross layers a place in each.
func (d *drawing) bend(n int, edges []Edge) {
	d.bend0, d.bends = n, make([][]int, len(edges))
	d.left, d.right = make([][]int, n), make([][]int, n)
	join := func(a, b int) { d.right[a], d.left[b] = append(d.right[a], b), append(d.left[b], a) }
	for i, e := range edges {
		l, r := d.ends(i, e)
		if l == r {
			continue
		}
		last := l
		for at := d.layer[l] + 1; at < d.layer[r]; at++ {
			place := len(d.layer)
			d.layer, d.left, d.right = append(d.layer, at), append(d.left, nil), append(d.right, nil)
			d.bends[i] = append(d.bends[i], place)
			join(last, place)
			last = place
		}
		join(last, r)
	}
	for place, at := range d.layer {
		for len(d.layers) <= at {
			d.layers = append(d.layers, nil)
		}
		d.layers[at] = append(d.layers[at], place)
	}
}

// order sorts every layer by the mean place of the neighbours, to and fro, and keeps the
// order with the fewest crossings.
func (d *drawing) order() {
	best, fewest := clone(d.layers), d.crossings()
	for i := range sweeps {
		if i%2 == 0 {
			for at := 1; at < len(d.layers); at++ {
				d.sort(d.layers[at], d.layers[at-1], d.left)
			}
		} else {
			for at := len(d.layers) - 2; at >= 0; at-- {
				d.sort(d.layers[at], d.layers[at+1], d.right)
			}
		}
		if c := d.crossings(); c < fewest {
			best, fewest = clone(d.layers), c
		}
	}
	d.layers = best
}

func clone(layers [][]int) [][]int {
	out := make([][]int, len(layers))
	for i, l := range layers {
		out[i] = slices.Clone(l)
	}
	return out
}

func (d *drawing) sort(layer, beside []int, to [][]int) {
	at := make(map[int]int, len(beside))
	for i, p := range beside {
		at[p] = i
	}
	mean := make(map[int]float64, len(layer))
	for i, p := range layer {
		mean[p] = float64(i)
		if len(to[p]) > 0 {
			sum := 0
			for _, q := range to[p] {
				sum += at[q]
			}
			mean[p] = float64(sum) / float64(len(to[p]))
		}
	}
	slices.SortStableFunc(layer, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
}

// crossings counts the pairs of edges between neighbouring layers that cross.
func (d *drawing) crossings() int {
	n := 0
	for i := 0; i+1 < len(d.layers); i++ {
		at := make(map[int]int, len(d.layers[i+1]))
		for k, p := range d.layers[i+1] {
			at[p] = k
		}
		var ends []int
		for _, p := range d.layers[i] {
			from := len(ends)
			for _, q := range d.right[p] {
				ends = append(ends, at[q])
			}
			slices.Sort(ends[from:])
		}
		// The inversions of ends, counted by a Fenwick tree.
		tree := make([]int, len(at)+1)
		for k, e := range ends {
			below := 0
			for j := e + 1; j > 0; j -= j & -j {
				below += tree[j]
			}
			n += k - below
			for j := e + 1; j < len(tree); j += j & -j {
				tree[j]++
			}
		}
	}
	return n
}
