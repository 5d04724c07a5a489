package exec

import (
	"cmp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// pattern is a text of which some terms vary.
type pattern struct {
	terms  []string // "*" for one that varies
	count  int64
	sample string
}

// maxPatterns bounds the patterns of texts of equally many terms. A text that resembles none
// of so many is one of the others.
const maxPatterns = 1000

// reduce groups texts by what they have in common: texts of equally many terms, of which
// at least the share 1 - threshold is the same, are one pattern (as Drain has it).
func (r *run) reduce(x *ir.Reduce, f *frame) (*frame, error) {
	v, err := r.expr(x.Expr, f)
	if err != nil {
		return nil, err
	}
	threshold := 0.1
	if x.Threshold != nil {
		t, err := r.expr(x.Threshold, &frame{n: 1})
		if err != nil {
			return nil, err
		}
		if y, ok := value.To(t.At(0), table.Real).(float64); ok {
			threshold = y
		}
	}
	texts := v.Convert(table.String, f.n)
	buckets := map[int][]*pattern{}
	var all []*pattern
	others := int64(0)
	for i := range f.n {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		s := texts.Text[i&texts.Mask()]
		terms := splitTerms(s, x.Chars)
		p := nearest(buckets[len(terms)], terms, threshold)
		if p == nil && len(buckets[len(terms)]) == maxPatterns {
			others++
			continue
		}
		if p == nil {
			p = &pattern{terms: slices.Clone(terms), sample: s}
			buckets[len(terms)] = append(buckets[len(terms)], p)
			all = append(all, p)
		}
		p.take(terms)
	}
	slices.SortStableFunc(all, func(a, b *pattern) int { return cmp.Compare(b.count, a.count) })
	all = withOthers(all, others)
	out := newFrame(x.Cols, len(all))
	for i, p := range all {
		row := []any{p.text(x.Chars), p.count, p.sample}
		for k := range min(len(row), len(x.Cols)) {
			out.vecs[k].Set(i, row[k])
		}
	}
	return out, nil
}

// withOthers joins the texts that resemble no other, when there are several, with those
// for which there was no room.
func withOthers(all []*pattern, others int64) []*pattern {
	var out []*pattern
	rest := &pattern{terms: []string{"others"}, count: others}
	var alone *pattern
	for _, p := range all {
		if p.count > 1 {
			out = append(out, p)
			continue
		}
		alone = p
		rest.count++
	}
	switch {
	case rest.count > 1 || others > 0:
		return append(out, rest)
	case alone != nil:
		return append(out, alone)
	}
	return out
}

// text writes a pattern; the characters that a query names belong to the varying term
// behind them.
func (p *pattern) text(chars string) string {
	var b strings.Builder
	for i, t := range p.terms {
		if i+1 < len(p.terms) && p.terms[i+1] == "*" && strings.Trim(t, chars) == "" {
			continue
		}
		b.WriteString(t)
	}
	return b.String()
}

// splitTerms cuts a text into terms and what lies between them. The characters that a query
// names part terms too, as the page's examples have it.
func splitTerms(s, chars string) []string {
	var out []string
	from, word := 0, false
	for i, c := range s {
		w := wordRune(c) && !strings.ContainsRune(chars, c)
		if i > from && w != word {
			out = append(out, s[from:i])
			from = i
		}
		word = w
	}
	if from < len(s) {
		out = append(out, s[from:])
	}
	return out
}

func nearest(patterns []*pattern, terms []string, threshold float64) *pattern {
	var best *pattern
	most := -1
	for _, p := range patterns {
		same, words := 0, 0
		for i, t := range p.terms {
			if c, _ := firstRune(terms[i]); !wordRune(c) {
				if t != terms[i] {
					same = -len(terms)
				}
				continue
			}
			words++
			if t == "*" || t == terms[i] {
				same++
			}
		}
		if float64(words-same) <= max((1-threshold)*float64(words), 1) && same > most && (same > 0 || words == 0) {
			best, most = p, same
		}
	}
	return best
}

func firstRune(s string) (rune, bool) {
	for _, c := range s {
		return c, true
	}
	return 0, false
}

func (p *pattern) take(terms []string) {
	p.count++
	for i, t := range terms {
		if p.terms[i] != t {
			p.terms[i] = "*"
		}
	}
}
