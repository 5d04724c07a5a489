package graph

import "math"

// place gives every place its height: each near the mean of its neighbours, none nearer to
// another than it must be.
func (d *drawing) place() {
	d.y = make([]float64, len(d.layer))
	for _, l := range d.layers {
		y := 0.0
		for i, p := range l {
			if i > 0 {
				y += d.apart(l[i-1], p)
			}
			d.y[p] = y
		}
		for _, p := range l {
			d.y[p] -= y / 2
		}
	}
	for range 3 {
		for at := 1; at < len(d.layers); at++ {
			d.pull(d.layers[at], d.left)
		}
		for at := len(d.layers) - 2; at >= 0; at-- {
			d.pull(d.layers[at], d.right)
		}
	}
}

// apart is how far the middles of two places above each other stand apart at least. Edges
// that pass by need less room than nodes.
func (d *drawing) apart(a, b int) float64 {
	nodes := 0
	for _, p := range []int{a, b} {
		if p < d.bend0 {
			nodes++
		}
	}
	return float64(nodes)*d.size.Height/2 + d.size.Between*[]float64{.35, .7, 1}[nodes]
}

// pull moves the places of a layer towards their neighbours and keeps them apart.
func (d *drawing) pull(layer []int, to [][]int) {
	want := make([]float64, len(layer))
	for i, p := range layer {
		want[i] = d.y[p]
		if len(to[p]) > 0 {
			want[i] = 0
			for _, q := range to[p] {
				want[i] += d.y[q] / float64(len(to[p]))
			}
		}
	}
	off := 0.0
	for i, p := range layer {
		d.y[p] = want[i]
		if i > 0 {
			d.y[p] = max(d.y[p], d.y[layer[i-1]]+d.apart(layer[i-1], p))
		}
		off += want[i] - d.y[p]
	}
	// Those that were pushed down push the others up: the layer as a whole stays where it
	// wants to be.
	for _, p := range layer {
		d.y[p] += off / float64(len(layer))
	}
}

// result turns places into a layout that begins at 0, 0.
func (d *drawing) result(n int, edges []Edge) Layout {
	out := Layout{Nodes: make([]Point, n), Edges: make([][]Point, len(edges))}
	if n == 0 {
		return out
	}
	s := d.size
	top, bottom := math.Inf(1), math.Inf(-1)
	for p, y := range d.y {
		half := s.Height / 2
		if p >= d.bend0 {
			half = 0
		}
		top, bottom = min(top, y-half), max(bottom, y+half)
	}
	middle := func(p int) Point { return Point{float64(d.layer[p]) * (s.Width + s.Across), d.y[p] - top} }
	for v := range n {
		m := middle(v)
		out.Nodes[v] = Point{m.X, m.Y - s.Height/2}
	}
	for i, e := range edges {
		l, r := d.ends(i, e)
		if l == r {
			continue
		}
		from, to := middle(l), middle(r)
		way := []Point{{from.X + s.Width, from.Y}}
		for _, b := range d.bends[i] {
			m := middle(b)
			way = append(way, m, Point{m.X + s.Width, m.Y})
		}
		way = append(way, to)
		if d.back[i] {
			for a, b := 0, len(way)-1; a < b; a, b = a+1, b-1 {
				way[a], way[b] = way[b], way[a]
			}
		}
		out.Edges[i] = way
	}
	out.Width, out.Height = float64(len(d.layers))*(s.Width+s.Across)-s.Across, bottom-top
	return out
}
