package segment

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/monitor/lake/bloom"
)

// Builder makes the index of a segment from its rows, in their order in the file.
type Builder struct {
	columns []columnBuilder
	index   Index
	filters [][]byte
	terms   bloom.Set
}

type columnBuilder struct {
	name     string
	search   bool
	json     bool
	count    bool
	many     bool // too many values for a dictionary
	last     byte // place of the value that came last
	values   []string
	places   map[string]byte
	size     int
	groups   [][]byte
	inGroup  []int64 // rows by place; of a column that is not counted, more than 0 when it occurs
	rows     [][]int64
	anything bool // a value came in this group
}

// Column is a text column of the rows.
type Column struct {
	Name   string
	Search bool // its terms are looked for
	JSON   bool // its texts are JSON
	Count  bool // the rows of each of its values are counted
}

// NewBuilder returns a builder of the index of segment id, for rows with these text columns.
func NewBuilder(id uint64, columns []Column) *Builder {
	b := &Builder{terms: bloom.Set{}, index: Index{ID: id}}
	for _, c := range columns {
		b.columns = append(b.columns, columnBuilder{name: c.Name, search: c.Search, json: c.JSON, count: c.Count, places: map[string]byte{}})
	}
	return b
}

// Add takes rows of the group that is being built: their times, and per column their
// texts, which it does not keep.
func (b *Builder) Add(times []int64, texts [][]string) {
	g := &b.index.Groups[len(b.index.Groups)-1]
	for _, t := range times {
		g.Min, g.Max = min(g.Min, t), max(g.Max, t)
	}
	g.Rows += int64(len(times))
	for i := range b.columns {
		c := &b.columns[i]
		last := ""
		for k, s := range texts[i] {
			if k > 0 && s == last {
				c.again()
				continue
			}
			last = s
			c.note(s)
			if c.search && c.json {
				b.terms.AddJSON(s)
			} else if c.search {
				b.terms.Add(s)
			}
		}
	}
}

// again counts a row of the value that came last.
func (c *columnBuilder) again() {
	if c.count && !c.many {
		c.inGroup[c.last]++
	}
}

// note puts a value into the dictionary of the column.
func (c *columnBuilder) note(s string) {
	if c.many {
		return
	}
	if c.anything && c.values[c.last] == s {
		c.again()
		return
	}
	place, ok := c.places[s]
	if !ok {
		if len(c.values) == MaxValues || c.size+len(s) > maxDictBytes {
			c.many, c.values, c.places, c.groups, c.inGroup, c.rows = true, nil, nil, nil, nil, nil
			return
		}
		place = byte(len(c.values))
		s = strings.Clone(s)
		c.values, c.inGroup, c.places[s] = append(c.values, s), append(c.inGroup, 0), place
		c.size += len(s)
	}
	c.inGroup[place]++
	c.last, c.anything = place, true
}

// Begin begins a group.
func (b *Builder) Begin() {
	b.end()
	b.index.Groups = append(b.index.Groups, Group{Min: 1<<63 - 1, Max: -1 << 63})
}

// end finishes the group that is being built.
func (b *Builder) end() {
	if len(b.index.Groups) == 0 {
		return
	}
	f := b.terms.Filter()
	clear(b.terms)
	b.index.Groups[len(b.index.Groups)-1].Filter = len(f)
	b.filters = append(b.filters, f)
	for i := range b.columns {
		c := &b.columns[i]
		if c.many {
			continue
		}
		var in []byte
		var rows []int64
		for place, n := range c.inGroup {
			if n > 0 {
				in, rows = append(in, byte(place)), append(rows, n)
			}
		}
		c.groups, c.rows = append(c.groups, in), append(c.rows, rows)
		clear(c.inGroup)
		c.anything = false
	}
}

// Write finishes the index and writes it, synced, to a file. It returns its size and what
// ReadIndex gives for the file once it stands at path final.
func (b *Builder) Write(path, final string) (*Index, int64, error) {
	b.end()
	for _, c := range b.columns {
		if c.many {
			continue
		}
		d := Dict{Column: c.name, Values: c.values}
		if len(c.values) > 1 {
			d.Groups = c.groups
		}
		if len(c.values) > 1 && c.count {
			d.Rows = c.rows
		}
		b.index.Dicts = append(b.index.Dicts, d)
	}
	body, err := json.Marshal(&b.index)
	if err != nil {
		return nil, 0, fmt.Errorf("writing a segment's index: %w", err)
	}
	out := []byte(indexMagic)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(body)))
	out = binary.LittleEndian.AppendUint32(out, crc32.Checksum(body, castagnoli))
	out = append(out, body...)
	start := int64(len(out))
	for _, f := range b.filters {
		out = append(out, f...)
	}
	if err := writeSynced(path, out); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("writing the index %s: %w", filepath.Base(path), err), os.Remove(path))
	}
	x := b.index
	x.path, x.start = final, start
	return &x, int64(len(out)), nil
}
