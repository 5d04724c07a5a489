package segment

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"towpath.dev/towpath/internal/monitor/lake/bloom"
)

// An index file is the magic, the length and the CRC-32C of the JSON of Index, four bytes
// each, little endian, the JSON, and the filters.
const (
	indexMagic  = "TPIDX\x00\x00\x01"
	indexHeader = len(indexMagic) + 8
	maxIndex    = 64 << 20
)

// MaxValues is how many values a column may have in a segment to have a dictionary.
const MaxValues = 250

// maxDictBytes bounds what the values of one dictionary take.
const maxDictBytes = 8 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Group is what is known of a row group.
type Group struct {
	Rows   int64 `json:"rows"`
	Min    int64 `json:"min"` // of TimeGenerated in ticks
	Max    int64 `json:"max"`
	Filter int   `json:"filter"` // bytes of its Bloom filter
}

// Dict lists the values of a column with few values.
type Dict struct {
	Column string   `json:"column"`
	Values []string `json:"values"`
	// Groups has for each group the places in Values of those that occur in it; nil when
	// there is one value only.
	Groups [][]byte `json:"groups,omitempty"`
	// Rows has beside Groups how many rows have each of those values; nil when Groups is,
	// for a column that is not counted, and in indexes that older versions wrote.
	Rows [][]int64 `json:"rows,omitempty"`
}

// Index is what is known of a segment, but for the filters, which stay on disk.
type Index struct {
	ID     uint64  `json:"id"` // of the segment; no two indexes have the same bytes, nor the same digest
	Groups []Group `json:"groups"`
	Dicts  []Dict  `json:"dicts"`

	path  string
	start int64 // of the filters in the file
	blunt bool
}

// Blunt returns what is known of a segment whose index is out of reach: it may hold anything
// of its time.
func Blunt(i Info) *Index {
	return &Index{ID: i.ID, Groups: []Group{{Rows: i.Rows, Min: i.Min, Max: i.Max}}, blunt: true}
}

// IsBlunt reports whether the index comes from Blunt.
func (x *Index) IsBlunt() bool { return x.blunt }

// ReadIndex reads the index file of a segment. The filters are read when they are asked.
func ReadIndex(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading a segment's index: %w", err)
	}
	defer f.Close()
	x, err := readIndex(f)
	if err != nil {
		return nil, fmt.Errorf("reading a segment's index %s: %w", path, err)
	}
	x.path = path
	return x, nil
}

func readIndex(r io.Reader) (*Index, error) {
	head := make([]byte, indexHeader)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if string(head[:len(indexMagic)]) != indexMagic {
		return nil, errors.New("it is no index of this version")
	}
	length, sum := binary.LittleEndian.Uint32(head[len(indexMagic):]), binary.LittleEndian.Uint32(head[len(indexMagic)+4:])
	if length > maxIndex {
		return nil, errors.New("it is damaged")
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil {
		return nil, err
	}
	if len(body) != int(length) || crc32.Checksum(body, castagnoli) != sum {
		return nil, errors.New("it is damaged")
	}
	x := &Index{start: int64(indexHeader) + int64(length)}
	return x, json.Unmarshal(body, x)
}

// Want says which rows a scan asks for.
type Want struct {
	From, To int64               // of TimeGenerated in ticks, To exclusive; 0 is open
	Terms    []bloom.Hash        // that must all be in the group
	Equal    map[string][]string // columns and the values of which one is asked for
}

// Prune returns the places of the groups that may hold rows that are asked for. An error is
// one of reading the filters.
func (x *Index) Prune(w Want) ([]int, error) {
	var out []int
	allowed := x.allowed(w.Equal)
	var f *os.File
	offset := x.start
	for i, g := range x.Groups {
		at := offset
		offset += int64(g.Filter)
		if w.From != 0 && g.Max < w.From || w.To != 0 && g.Min >= w.To || !x.may(i, allowed) {
			continue
		}
		if len(w.Terms) > 0 && g.Filter > 0 {
			if f == nil {
				var err error
				if f, err = os.Open(x.path); err != nil {
					return nil, fmt.Errorf("reading a segment's index: %w", err)
				}
				defer f.Close()
			}
			ok, err := holdsAll(f, at, g.Filter, w.Terms)
			if err != nil {
				return nil, fmt.Errorf("reading a segment's index: %w", err)
			}
			if !ok {
				continue
			}
		}
		out = append(out, i)
	}
	return out, nil
}

func holdsAll(r io.ReaderAt, offset int64, size int, terms []bloom.Hash) (bool, error) {
	for _, h := range terms {
		if ok, err := bloom.MayHold(r, offset, size, h); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// allowed returns, by the place of the dictionary, which of its values are asked for.
func (x *Index) allowed(equal map[string][]string) map[int][]byte {
	out := map[int][]byte{}
	for i, d := range x.Dicts {
		values, asked := equal[d.Column]
		if !asked {
			continue
		}
		out[i] = []byte{}
		for k, v := range d.Values {
			if slices.Contains(values, v) {
				out[i] = append(out[i], byte(k))
			}
		}
	}
	return out
}

// may reports whether a group has an allowed value in every column of allowed.
func (x *Index) may(group int, allowed map[int][]byte) bool {
	for i, values := range allowed {
		if x.Dicts[i].Groups == nil {
			if len(values) == 0 {
				return false
			}
			continue
		}
		if !overlap(x.Dicts[i].Groups[group], values) {
			return false
		}
	}
	return true
}

func overlap(a, b []byte) bool {
	for _, v := range a {
		if bytes.IndexByte(b, v) >= 0 {
			return true
		}
	}
	return false
}

// Holds returns how many rows of a group have this value in a column that is counted, 0
// where that is not known.
func (x *Index) Holds(group int, column, value string) int64 {
	for _, d := range x.Dicts {
		if d.Column != column {
			continue
		}
		place := slices.Index(d.Values, value)
		switch {
		case place < 0:
			return 0
		case d.Groups == nil:
			return x.Groups[group].Rows
		case d.Rows == nil:
			return 0
		}
		if at := bytes.IndexByte(d.Groups[group], byte(place)); at >= 0 {
			return d.Rows[group][at]
		}
	}
	return 0
}

// Only reports whether all rows of the segment have this value in a column.
func (x *Index) Only(column, value string) bool {
	for _, d := range x.Dicts {
		if d.Column == column {
			return len(d.Values) == 1 && d.Values[0] == value
		}
	}
	return false
}
