//go:build cgo

package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/lake"
	"towpath.dev/towpath/internal/monitor/lake/bloom"
	"towpath.dev/towpath/internal/monitor/lake/engine/duck"
	"towpath.dev/towpath/internal/monitor/lake/segment"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/monitor/table/sqltype"
)

// plan returns the SQL of a query with its scans put before it, each as a table that has
// the rows of the scan and no others, and fetches the segments that it reads.
func (e *Engine) plan(ctx context.Context, v *view, q lake.Query, st *lake.Stats) (string, error) {
	if len(q.Scans) == 0 {
		return q.SQL, nil
	}
	ctes := make([]string, len(q.Scans))
	for i, s := range q.Scans {
		p := &scanPlan{Scan: s, table: e.tables[s.Table], files: e.files}
		if err := p.prepare(); err != nil {
			return "", err
		}
		if err := p.choose(ctx, v, st); err != nil {
			return "", err
		}
		st.Rows += e.hotRows(v, p)
		ctes[i] = duck.Name(s.Name) + " AS NOT MATERIALIZED (" + p.sql(v) + ")"
	}
	return prepend(ctes, q.SQL), nil
}

// prepend puts tables before a query, which may begin with tables of its own.
func prepend(ctes []string, sql string) string {
	body := strings.TrimSpace(sql)
	word, rest := cutWord(body)
	if !strings.EqualFold(word, "with") {
		return "WITH " + strings.Join(ctes, ",\n") + "\n" + body
	}
	with := "WITH "
	if w, after := cutWord(strings.TrimSpace(rest)); strings.EqualFold(w, "recursive") {
		with, rest = "WITH RECURSIVE ", after
	}
	return with + strings.Join(ctes, ",\n") + ",\n" + rest
}

func cutWord(s string) (word, rest string) {
	at := strings.IndexFunc(s, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
	if at < 0 {
		return s, ""
	}
	return s[:at], s[at:]
}

// scanPlan is how one scan is answered.
type scanPlan struct {
	lake.Scan
	table   *table.Table
	columns []table.Column // that the scan gives
	files   *segment.Files
	want    segment.Want
	parts   []*part
}

// part is segments that have the same columns and are read with the same conditions.
type part struct {
	segments []*sealed
	groups   []uint64 // nil: all of them
	pure     bool     // all rows are asked for; no condition is needed
}

func (p *scanPlan) prepare() error {
	if p.table == nil {
		return fault.New(fault.Invalid, "There is no table %q.", p.Scan.Table)
	}
	p.columns = p.table.Columns
	if p.Columns != nil {
		p.columns = nil
		for _, n := range p.Columns {
			at := p.table.Place(n)
			if at < 0 {
				return fault.New(fault.Invalid, "The table %s has no column %q.", p.table.Name, n)
			}
			p.columns = append(p.columns, p.table.Columns[at])
		}
		if len(p.columns) == 0 { // count(*): a table needs a column.
			p.columns = p.table.Columns[:1]
		}
	}
	p.want = segment.Want{From: p.From, To: p.To, Equal: map[string][]string{}}
	for c, values := range p.Equal {
		p.want.Equal[c] = values
		// One value of a column whose terms are kept is looked up by its terms.
		if len(values) == 1 && slices.Contains(p.table.Search, c) {
			for _, t := range bloom.Terms(values[0]) {
				p.want.Terms = append(p.want.Terms, bloom.HashOf(t))
			}
		}
	}
	if !p.All {
		p.want.Equal[table.Project] = []string{p.Project}
	}
	for _, t := range p.Terms {
		if bloom.IsTerm(t) { // Others are not in the filters.
			p.want.Terms = append(p.want.Terms, bloom.HashOf(t))
		}
	}
	return nil
}

// choose finds the segments and groups to read.
func (p *scanPlan) choose(ctx context.Context, v *view, st *lake.Stats) error {
	parts := map[string]*part{}
	for _, s := range v.segments {
		if s.info.Table != p.table.Name {
			continue
		}
		p.count(s, st)
		if !p.overlaps(s) {
			continue
		}
		groups, err := s.index.Prune(p.want)
		if err != nil {
			return err
		}
		if len(groups) == 0 {
			continue
		}
		if err := p.files.Fetch(ctx, s.info); err != nil {
			return err
		}
		p.countRead(s, groups, st)
		p.put(parts, s, groups)
	}
	return nil
}

// count counts a segment and those of its groups that hold rows that the asker may see.
func (p *scanPlan) count(s *sealed, st *lake.Stats) {
	groups := 0
	for g := range s.index.Groups {
		if p.visible(s, g) > 0 {
			groups++
		}
	}
	if st.Groups += groups; groups > 0 {
		st.Segments++
	}
}

// countRead counts the groups of a segment that are read.
func (p *scanPlan) countRead(s *sealed, groups []int, st *lake.Stats) {
	read := 0
	for _, g := range groups {
		if n := p.visible(s, g); n > 0 {
			st.Rows += n
			read++
		}
	}
	if st.GroupsRead += read; read > 0 {
		st.Read++
	}
}

// visible is how many rows of a group the asker may see, as far as that is known.
func (p *scanPlan) visible(s *sealed, group int) int64 {
	if p.All {
		return s.index.Groups[group].Rows
	}
	return s.index.Holds(group, table.Project, p.Project)
}

// hotRows is how many hot rows a scan has.
func (e *Engine) hotRows(v *view, p *scanPlan) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := int64(0)
	for _, g := range v.hot {
		if p.All {
			n += g.rows[p.table.Name]
		} else {
			n += g.shares[share{p.table.Name, p.Project}]
		}
	}
	return n
}

// overlaps reports whether a segment has rows of the time that is asked for.
func (p *scanPlan) overlaps(s *sealed) bool {
	return (p.From == 0 || s.info.Max >= p.From) && (p.To == 0 || s.info.Min < p.To)
}

// put adds a segment to the part that is read as it is to be read.
func (p *scanPlan) put(parts map[string]*part, s *sealed, groups []int) {
	whole := len(groups) == len(s.index.Groups)
	pure := whole && (p.All || s.index.Only(table.Project, p.Project)) && (p.From == 0 || s.info.Min >= p.From) && (p.To == 0 || s.info.Max < p.To)
	key := fmt.Sprint(pure, whole, strings.Join(s.info.Columns, ","))
	to := parts[key]
	if to == nil {
		to = &part{pure: pure}
		parts[key] = to
		p.parts = append(p.parts, to)
	}
	to.segments = append(to.segments, s)
	if !whole {
		for _, g := range groups {
			to.groups = append(to.groups, s.info.ID*groupsPerSegment+uint64(g))
		}
	}
}

// sql returns the rows of the scan as a query.
func (p *scanPlan) sql(v *view) string {
	var out []string
	for i, g := range v.hot {
		if v.rows[i][p.table.Name] == 0 {
			continue
		}
		out = append(out, "SELECT "+p.list(nil)+" FROM "+duck.Name(g.table(p.table.Name))+where(p.conditions()))
	}
	for _, part := range p.parts {
		var conditions []string
		if !part.pure {
			conditions = p.conditions()
		}
		if part.groups != nil {
			conditions = append(conditions, groupColumn+" IN ("+joined(part.groups)+")")
		}
		files := make([]string, len(part.segments))
		for i, s := range part.segments {
			files[i] = duck.Quote(p.files.Path(s.info.ID))
		}
		out = append(out, "SELECT "+p.list(part.segments[0].info.Columns)+" FROM read_parquet(["+strings.Join(files, ", ")+"])"+where(conditions))
	}
	if len(out) == 0 {
		empty := make([]string, len(p.columns))
		for i, c := range p.columns {
			empty[i] = fmt.Sprintf("NULL::%s AS %s", sqltype.DuckDB(c.Kind), duck.Name(c.Name))
		}
		return "SELECT " + strings.Join(empty, ", ") + " WHERE false"
	}
	return strings.Join(out, "\nUNION ALL ")
}

// list returns the columns of the scan; one that is not among those that are there is null.
func (p *scanPlan) list(there []string) string {
	out := make([]string, len(p.columns))
	for i, c := range p.columns {
		switch name := duck.Name(c.Name); {
		case there == nil || slices.Contains(there, c.Name):
			out[i] = name
		case sqltype.DuckDB(c.Kind) == sqltype.VarChar:
			out[i] = "'' AS " + name
		default:
			out[i] = fmt.Sprintf("NULL::%s AS %s", sqltype.DuckDB(c.Kind), name)
		}
	}
	return strings.Join(out, ", ")
}

// conditions returns what decides which rows the asker may see.
func (p *scanPlan) conditions() []string {
	var out []string
	if !p.All {
		out = append(out, duck.Name(table.Project)+" = "+duck.Quote(p.Project))
	}
	if p.From != 0 {
		out = append(out, fmt.Sprintf("%s >= %d", duck.Name(table.TimeGenerated), p.From))
	}
	if p.To != 0 {
		out = append(out, fmt.Sprintf("%s < %d", duck.Name(table.TimeGenerated), p.To))
	}
	return out
}

func where(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

func joined(numbers []uint64) string {
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = fmt.Sprint(n)
	}
	return strings.Join(out, ", ")
}
