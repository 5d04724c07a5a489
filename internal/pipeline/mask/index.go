package mask

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// span is a part of a text that is to be hidden.
type span struct{ from, to int }

// prefix is how many bytes of a text are looked at at each place. It is at most MinLength.
const prefix = 4

// filterBits is the size of the filter as a power of two: 32 KiB stay in the first cache,
// and the forms of 200 secrets fill about one bit in a hundred.
const filterBits = 18

// index finds any of many needles in a text. At each place four bytes are looked up in a
// filter, which nearly always says no at once; only then the needles that begin so are
// compared, the longest first. The zero value finds nothing.
type index struct {
	filter  []uint64            // a bit for each hash of a prefix; nil without needles
	needles map[uint32][][]byte // by prefix, longest first
	short   [][]byte            // needles shorter than a prefix
	longest int
}

func hash(x uint32) uint32 { return (x * 2654435761) >> (32 - filterBits) }

// add makes the index find a needle, which is not empty.
func (x *index) add(needle []byte) {
	x.longest = max(x.longest, len(needle))
	if len(needle) < prefix {
		x.short = append(x.short, needle)
		return
	}
	if x.filter == nil {
		x.filter, x.needles = make([]uint64, 1<<filterBits/64), map[uint32][][]byte{}
	}
	key := binary.LittleEndian.Uint32(needle)
	h := hash(key)
	x.filter[h/64] |= 1 << (h % 64)
	same := append(x.needles[key], needle)
	slices.SortStableFunc(same, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	x.needles[key] = same
}

// find appends the places of all needles in the text in order; what overlaps is one span.
func (x *index) find(text []byte, spans []span) []span {
	if len(x.filter) == 1<<filterBits/64 {
		filter := (*[1 << filterBits / 64]uint64)(x.filter)
		for i := 0; i+prefix <= len(text); i++ {
			key := binary.LittleEndian.Uint32(text[i:])
			h := hash(key)
			if filter[h/64]&(1<<(h%64)) == 0 {
				continue
			}
			for _, needle := range x.needles[key] {
				if bytes.HasPrefix(text[i:], needle) {
					spans = push(spans, span{i, i + len(needle)})
					break
				}
			}
		}
	}
	for _, needle := range x.short {
		for at := 0; ; {
			i := bytes.Index(text[at:], needle)
			if i < 0 {
				break
			}
			spans = append(spans, span{at + i, at + i + len(needle)})
			at += i + 1
		}
	}
	if len(x.short) > 0 {
		spans = merge(spans)
	}
	return spans
}

// push adds a span that begins after all the others do.
func push(spans []span, s span) []span {
	if n := len(spans); n > 0 && s.from < spans[n-1].to {
		spans[n-1].to = max(spans[n-1].to, s.to)
		return spans
	}
	return append(spans, s)
}

// merge puts spans in order and makes one of those that overlap.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := spans[:0]
	for _, s := range spans {
		merged = push(merged, s)
	}
	return merged
}

var slashes = []byte("://")

const (
	// maxUserinfo is how long a user name or a password of a URL is looked for.
	maxUserinfo = 1024
	// notPassword ends the part of a URL that may hold a password.
	notPassword = "/?#@ \t\r\n\"'<>|\\"
)

// passwords appends the passwords of the URLs in a text: https://user:password@host.
func passwords(text []byte, spans []span) []span {
	for at := 0; ; {
		i := bytes.Index(text[at:], slashes)
		if i < 0 {
			return spans
		}
		at += i + len(slashes)
		info := text[at:min(at+2*maxUserinfo, len(text))]
		end := bytes.IndexAny(info, notPassword)
		if end < 0 || info[end] != '@' {
			continue
		}
		if colon := bytes.IndexByte(info[:end], ':'); colon >= 0 && colon+1 < end && string(info[colon+1:end]) != Stars {
			spans = append(spans, span{at + colon + 1, at + end})
		}
	}
}
