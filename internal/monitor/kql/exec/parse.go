package exec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/exec/scalar"
	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/ir"
	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// parsePattern turns the parts of a parse operator into one regular expression over the
// whole text, with a group cN for each column ("parse operator", regex mode).
func parsePattern(x *ir.Parse, ended func() error) (*scalar.Regex, error) {
	var b strings.Builder
	flags := "s"
	if x.Kind == "regex" {
		flags = x.Flags
	}
	if flags != "" {
		b.WriteString("(?" + flags + ")")
	}
	b.WriteString(`\A`)
	for i, p := range x.Parts {
		switch {
		case p.Star:
			b.WriteString(`.*?`)
		case p.Place < 0 && x.Kind == "regex":
			b.WriteString("(?:" + p.Text + ")")
		case p.Place < 0:
			b.WriteString(regexp.QuoteMeta(p.Text))
		default:
			star := i+1 < len(x.Parts) && x.Parts[i+1].Star
			fmt.Fprintf(&b, "(?P<c%d>%s)", i, columnPattern(x.Kind, p.To, star))
		}
	}
	b.WriteString(`\z`)
	re, err := scalar.NewRegex("parse", b.String(), ended)
	return re, at(x, err)
}

// columnPattern is what a column may hold. Relaxed takes any text up to the next piece, so
// that a value of the wrong type becomes null instead of failing the match.
func columnPattern(kind string, to table.Kind, star bool) string {
	if kind == "relaxed" && !star {
		return `.*?`
	}
	switch to {
	case table.Int, table.Long:
		return `[-+]?\d+`
	case table.Real, table.Decimal:
		return `[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?`
	}
	if kind == "regex" {
		return `.*`
	}
	return `.*?`
}

// parse is parse and parse-where.
func (r *run) parse(x *ir.Parse, f *frame) (*frame, error) {
	re, err := parsePattern(x, r.ctx.Err)
	if err != nil {
		return nil, err
	}
	v, err := r.expr(x.Expr, f)
	if err != nil {
		return nil, err
	}
	texts := v.Convert(table.String, f.n)
	out := &frame{cols: x.Cols, n: f.n, vecs: make([]vec.Vec, len(x.Cols))}
	done := make([]bool, len(x.Cols))
	for _, p := range x.Parts {
		if p.Place >= 0 {
			out.vecs[p.Place], done[p.Place] = vec.New(x.Cols[p.Place].Kind, f.n), true
		}
	}
	groups := make([]int, len(x.Parts))
	for i := range x.Parts {
		groups[i] = re.Group(fmt.Sprintf("c%d", i))
	}
	kept := []int32{}
	for i := range f.n {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		if parseRow(x, re, groups, texts.Text[i&texts.Mask()], out, i) {
			kept = append(kept, int32(i))
		}
	}
	carry(out, f, done, nil)
	if x.Must {
		return out.pick(kept), nil
	}
	return out, nil
}

// parseRow fills the columns of row i; without a match they are null.
func parseRow(x *ir.Parse, re *scalar.Regex, groups []int, text string, out *frame, i int) bool {
	m, sure := scanParts(x, groups, text)
	if !sure {
		m = re.Find(text)
	}
	cells := make([]any, len(x.Parts))
	for k, p := range x.Parts {
		if m == nil {
			break
		}
		if p.Place < 0 {
			continue
		}
		found := ""
		if at := 2 * groups[k]; m[at] >= 0 {
			found = text[m[at]:m[at+1]]
		}
		cells[k] = parsedCell(found, p.To)
		if cells[k] == nil && x.Kind != "relaxed" { // strict: all columns must be of their types
			m = nil
		}
	}
	for k, p := range x.Parts {
		if p.Place < 0 {
			continue
		}
		if m == nil || cells[k] == nil {
			out.vecs[p.Place].SetNull(i)
		} else {
			out.vecs[p.Place].Set(i, cells[k])
		}
	}
	return m != nil
}

func parsedCell(s string, to table.Kind) any {
	if to == table.Dynamic {
		return vec.Parse(s)
	}
	return value.To(s, to)
}

// parseKV is parse-kv.
func (r *run) parseKV(x *ir.ParseKV, f *frame) (*frame, error) {
	v, err := r.expr(x.Expr, f)
	if err != nil {
		return nil, err
	}
	texts := v.Convert(table.String, f.n)
	out := &frame{cols: x.Cols, n: f.n, vecs: make([]vec.Vec, len(x.Cols))}
	done := make([]bool, len(x.Cols))
	for _, p := range x.Places {
		out.vecs[p], done[p] = vec.New(x.Cols[p].Kind, f.n), true
	}
	for i := range f.n {
		found := map[string]string{}
		(&kv{x: x, found: found}).scan(texts.Text[i&texts.Mask()])
		for k, key := range x.Keys {
			p := x.Places[k]
			cell := any(nil)
			if s, ok := found[key]; ok {
				cell = parsedCell(s, x.Cols[p].Kind)
			}
			if cell == nil {
				out.vecs[p].SetNull(i)
			} else {
				out.vecs[p].Set(i, cell)
			}
		}
	}
	carry(out, f, done, nil)
	return out, nil
}

// kv reads pairs of keys and values; the first value of a key counts.
type kv struct {
	x     *ir.ParseKV
	found map[string]string
}

func (p *kv) scan(s string) {
	if p.x.KVDelimiter == "" && p.x.PairDelimiter == "" {
		p.free(s)
		return
	}
	for s != "" {
		var key, val string
		key, s = p.key(s)
		val, s = p.value(s)
		key = strings.TrimSpace(p.bare(key))
		if _, ok := p.found[key]; !ok && key != "" {
			p.found[key] = val
		}
	}
}

// free reads without delimiters: whatever is no letter or digit parts words, and the word
// or quoted text after a key is its value.
func (p *kv) free(s string) {
	key := ""
	for s != "" {
		q, after, ok := p.quoted(s)
		if !ok {
			end := strings.IndexFunc(s, func(c rune) bool { return !wordRune(c) })
			if end == 0 {
				_, size := utf8.DecodeRuneInString(s)
				s = s[size:]
				continue
			}
			if end < 0 {
				end = len(s)
			}
			q, after = s[:end], s[end:]
		}
		s = after
		switch _, seen := p.found[key]; {
		case key != "" && !seen:
			p.found[key], key = q, ""
		case slices.Contains(p.x.Keys, q):
			key = q
		}
	}
}

// key reads up to the delimiter of key and value; a pair without one is passed over.
func (p *kv) key(s string) (key, rest string) {
	if q, after, ok := p.quoted(s); ok {
		if rest, ok := strings.CutPrefix(after, p.x.KVDelimiter); ok || p.x.KVDelimiter == "" {
			return q, rest
		}
	}
	i := strings.Index(s, p.x.KVDelimiter)
	if i < 0 {
		return "", ""
	}
	key = s[:i]
	if j := strings.LastIndex(key, p.x.PairDelimiter); p.x.PairDelimiter != "" && j >= 0 {
		key = key[j+len(p.x.PairDelimiter):]
	}
	return key, s[i+len(p.x.KVDelimiter):]
}

func wordRune(c rune) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// value reads up to the delimiter of pairs, or what quotes enclose.
func (p *kv) value(s string) (val, rest string) {
	if q, after, ok := p.quoted(strings.TrimLeft(s, " ")); ok {
		if i := p.pairEnd(after); i >= 0 {
			return q, after[min(len(after), i+max(1, len(p.x.PairDelimiter))):]
		}
		return q, ""
	}
	i := p.pairEnd(s)
	if i < 0 {
		return s, ""
	}
	return s[:i], s[min(len(s), i+max(1, len(p.x.PairDelimiter))):]
}

// pairEnd is where the value ends. A greedy value goes on to the delimiter before the next
// key.
func (p *kv) pairEnd(s string) int {
	if p.x.PairDelimiter == "" {
		return strings.IndexFunc(s, func(c rune) bool { return !wordRune(c) })
	}
	if !p.x.Greedy {
		return strings.Index(s, p.x.PairDelimiter)
	}
	next := strings.Index(s, p.x.KVDelimiter)
	if next < 0 {
		return -1
	}
	return strings.LastIndex(s[:next], p.x.PairDelimiter)
}

func (p *kv) bare(s string) string {
	if q, rest, ok := p.quoted(strings.TrimSpace(s)); ok && rest == "" {
		return q
	}
	return s
}

// quoted takes a text in one of the pairs of quotes off the front.
func (p *kv) quoted(s string) (text, rest string, ok bool) {
	for i := 0; i+1 < len(p.x.Quotes); i += 2 {
		open, closing := p.x.Quotes[i], p.x.Quotes[i+1]
		body, has := strings.CutPrefix(s, open)
		if !has || open == "" {
			continue
		}
		var b strings.Builder
		for body != "" {
			if after, esc := strings.CutPrefix(body, p.x.Escape); esc && p.x.Escape != "" && after != "" {
				b.WriteByte(after[0])
				body = after[1:]
				continue
			}
			if after, end := strings.CutPrefix(body, closing); end {
				return b.String(), after, true
			}
			b.WriteByte(body[0])
			body = body[1:]
		}
	}
	return "", s, false
}
