package bloom

import (
	"encoding/binary"
	"io"
)

// MinTerm is the length of the shortest term.
const MinTerm = 3

// BlockSize is the number of bytes that one question reads.
const BlockSize = 32

// bitsPerTerm gives about one false yes in three hundred: a question of a hundred groups
// mostly reads none in vain. At ten bits it would be one in forty.
const bitsPerTerm = 16

// salts choose the bit in each of the eight words of a block; they are those of the
// split-block filter in the Parquet format ("Bloom Filter", apache/parquet-format).
var salts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

// Hash is what a filter knows of a term.
type Hash uint64

// HashOf returns the hash of a term in lower case.
func HashOf(term string) Hash {
	h := uint64(offset64)
	for i := range len(term) {
		h = (h ^ uint64(term[i])) * prime64
	}
	return mix(h)
}

// The numbers of the FNV-1a hash; mix spreads its weak upper bits.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

func mix(h uint64) Hash {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return Hash(h)
}

// Set collects the terms of the texts of one row group.
type Set map[Hash]struct{}

// Add adds the terms of a text.
func (s Set) Add(text string) {
	h, n := uint64(offset64), 0
	for i := range len(text) {
		c := lower[text[i]]
		if c != 0 {
			h = (h ^ uint64(c)) * prime64
			n++
			continue
		}
		if n >= MinTerm {
			s[mix(h)] = struct{}{}
		}
		h, n = offset64, 0
	}
	if n >= MinTerm {
		s[mix(h)] = struct{}{}
	}
}

// lower maps letters and digits to lower case, everything else to 0.
var lower = func() (t [256]byte) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z':
			t[c] = byte(c)
		case c >= 'A' && c <= 'Z':
			t[c] = byte(c) + 'a' - 'A'
		}
	}
	return t
}()

// Terms returns the terms of a text.
func Terms(text string) []string {
	var out []string
	var term []byte
	for i := 0; i <= len(text); i++ {
		if i < len(text) && lower[text[i]] != 0 {
			term = append(term, lower[text[i]])
			continue
		}
		if len(term) >= MinTerm {
			out = append(out, string(term))
		}
		term = term[:0]
	}
	return out
}

// IsTerm reports whether a text is one term, as a whole.
func IsTerm(text string) bool {
	if len(text) < MinTerm {
		return false
	}
	for i := range len(text) {
		if lower[text[i]] != text[i] || text[i] == 0 {
			return false
		}
	}
	return true
}

// Filter returns the filter of the set: whole blocks.
func (s Set) Filter() []byte {
	blocks := max(1, (len(s)*bitsPerTerm+BlockSize*8-1)/(BlockSize*8))
	f := make([]byte, blocks*BlockSize)
	for h := range s {
		at := block(h, blocks)
		for i, salt := range salts {
			w := f[at+i*4:]
			binary.LittleEndian.PutUint32(w, binary.LittleEndian.Uint32(w)|bit(h, salt))
		}
	}
	return f
}

func block(h Hash, blocks int) int {
	return int((uint64(h)>>32)*uint64(blocks)>>32) * BlockSize
}

func bit(h Hash, salt uint32) uint32 { return 1 << ((uint32(h) * salt) >> 27) }

// MayHold reports whether a filter of size bytes that begins at offset of r may hold a
// term. It reads one block.
func MayHold(r io.ReaderAt, offset int64, size int, h Hash) (bool, error) {
	var b [BlockSize]byte
	if _, err := r.ReadAt(b[:], offset+int64(block(h, size/BlockSize))); err != nil {
		return true, err
	}
	for i, salt := range salts {
		if binary.LittleEndian.Uint32(b[i*4:])&bit(h, salt) == 0 {
			return false, nil
		}
	}
	return true, nil
}
