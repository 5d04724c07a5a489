package drain

import (
	"cmp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/table"
)

// Options bound a Miner. The zero value of each takes its default.
type Options struct {
	Depth      int     // leading tokens by which the tree branches; 1
	Similarity float64 // share of equal tokens from which a line belongs to a pattern; 0.5
	Children   int     // branches of a node; the rest goes into one of <*>; 100
	Patterns   int     // at most; 1,000
}

// Pattern is what lines have in common.
type Pattern struct {
	Text   string `json:"pattern"`
	Count  int64  `json:"count"`
	Sample string `json:"sample"` // the first line, shortened
}

// Cluster is a pattern that grows.
type Cluster struct {
	tokens []string
	count  int64
	sample string
	order  int
}

// Text returns the pattern as it is now.
func (c *Cluster) Text() string { return strings.Join(c.tokens, " ") }

// Sample returns the first line of the pattern, shortened.
func (c *Cluster) Sample() string { return c.sample }

// Miner finds patterns. It is for one goroutine.
type Miner struct {
	o        Options
	lengths  map[int]*node
	clusters []*Cluster
}

type node struct {
	children map[string]*node
	clusters []*Cluster
}

// wild stands for tokens that differ.
const wild = "<*>"

// maxSample bounds the sample of a pattern.
const maxSample = 512

// New returns a miner.
func New(o Options) *Miner {
	if o.Depth <= 0 {
		o.Depth = 1
	}
	if o.Similarity <= 0 {
		o.Similarity = 0.5
	}
	if o.Children <= 0 {
		o.Children = 100
	}
	if o.Patterns <= 0 {
		o.Patterns = 1000
	}
	return &Miner{o: o, lengths: map[int]*node{}}
}

// Add counts lines times a line and returns its pattern.
func (m *Miner) Add(line string, lines int64) *Cluster {
	words := tokens(line)
	leaf := m.leaf(words)
	best, share := closest(leaf.clusters, words)
	if best == nil || (share < m.o.Similarity && len(m.clusters) < m.o.Patterns) {
		if len(m.clusters) < m.o.Patterns {
			best = &Cluster{tokens: words, sample: strings.ToValidUTF8(table.Clip(line, maxSample), ""), order: len(m.clusters)}
			m.clusters = append(m.clusters, best)
			leaf.clusters = append(leaf.clusters, best)
		} else if best, _ = closest(m.clusters, words); best == nil {
			best = m.clusters[0]
		}
	}
	best.count += lines
	if len(best.tokens) != len(words) {
		return best // Full: the line is counted, the pattern stays.
	}
	for i, w := range words {
		if best.tokens[i] != w {
			best.tokens[i] = wild
		}
	}
	return best
}

// leaf walks down the tree, making what is missing.
func (m *Miner) leaf(words []string) *node {
	n, ok := m.lengths[len(words)]
	if !ok {
		n = &node{}
		m.lengths[len(words)] = n
	}
	for _, w := range words[:min(m.o.Depth, len(words))] {
		// A token with digits is a value more often than a word.
		if digits(w) > 0 || strings.HasPrefix(w, "<") {
			w = wild
		}
		next, ok := n.children[w]
		if !ok && len(n.children) >= m.o.Children {
			w = wild
			next, ok = n.children[w]
		}
		if !ok {
			if n.children == nil {
				n.children = map[string]*node{}
			}
			next = &node{}
			n.children[w] = next
		}
		n = next
	}
	return n
}

// closest returns the pattern with the largest share of equal tokens; of equals the one
// with fewer tokens that differ anyway, then the older.
func closest(clusters []*Cluster, words []string) (best *Cluster, share float64) {
	fewest := 0
	for _, c := range clusters {
		if len(c.tokens) != len(words) {
			continue
		}
		same, wilds := 0, 0
		for i, t := range c.tokens {
			switch {
			case t == words[i]:
				same++
			case t == wild:
				wilds++
			}
		}
		s := 1.0
		if len(words) > 0 {
			s = float64(same) / float64(len(words))
		}
		if best == nil || s > share || (s == share && wilds < fewest) {
			best, share, fewest = c, s, wilds
		}
	}
	return best, share
}

// Patterns returns the patterns, the most frequent first.
func (m *Miner) Patterns() []Pattern {
	sorted := slices.SortedFunc(slices.Values(m.clusters), func(a, b *Cluster) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.order, b.order))
	})
	// Patterns that grew into the same are one.
	at := map[string]int{}
	out := make([]Pattern, 0, len(sorted))
	for _, c := range sorted {
		text := c.Text()
		if i, ok := at[text]; ok {
			out[i].Count += c.count
			continue
		}
		at[text] = len(out)
		out = append(out, Pattern{Text: text, Count: c.count, Sample: c.sample})
	}
	return out
}
