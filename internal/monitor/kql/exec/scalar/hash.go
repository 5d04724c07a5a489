package scalar

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/cespare/xxhash/v2"

	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

func digests() map[string]Func {
	return map[string]Func{
		"hash": row(hashOf), "hash_xxhash64": row(hashOf),
		"hash_sha256": hexDigest(func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }),
		"hash_sha1":   hexDigest(func(b []byte) []byte { h := sha1.Sum(b); return h[:] }),
		"hash_md5":    hexDigest(func(b []byte) []byte { h := md5.Sum(b); return h[:] }),
	}
}

func hexDigest(f func([]byte) []byte) Func {
	return row(func(_ *Call, a []any) any { return hex.EncodeToString(f([]byte(value.String(a[0])))) })
}

// Hash is xxhash64 of a cell: of the text of a string, of the eight bytes of a number.
func Hash(v any) uint64 {
	var b [8]byte
	switch x := v.(type) {
	case int64:
		binary.LittleEndian.PutUint64(b[:], uint64(x))
	case float64:
		binary.LittleEndian.PutUint64(b[:], math.Float64bits(x))
	case value.DateTime:
		binary.LittleEndian.PutUint64(b[:], uint64(x))
	case value.TimeSpan:
		binary.LittleEndian.PutUint64(b[:], uint64(x))
	case bool:
		if x {
			b[0] = 1
		}
		return xxhash.Sum64(b[:1])
	case value.GUID:
		return xxhash.Sum64(guidBytes(x))
	default:
		return xxhash.Sum64String(value.String(v))
	}
	return xxhash.Sum64(b[:])
}

// hashOf(value[, mod]).
func hashOf(_ *Call, a []any) any {
	h := int64(Hash(a[0]))
	if len(a) > 1 {
		mod := long(a[1])
		if mod <= 0 {
			return nil
		}
		return divide(h, mod, true)
	}
	return h
}

func base64GUID(_ *Call, a []any) any {
	b, ok := base64Bytes(a[0])
	if !ok || len(b) != 16 {
		return nil
	}
	b = guidBytes(value.GUID(hex.EncodeToString(b)))
	g, _ := value.ParseGUID(hex.EncodeToString(b))
	return g
}

func guidBase64(_ *Call, a []any) any {
	g, ok := value.To(a[0], table.GUID).(value.GUID)
	if !ok {
		return nil
	}
	return base64.StdEncoding.EncodeToString(guidBytes(g))
}
