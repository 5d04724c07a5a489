package otlp

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"towpath.dev/towpath/internal/monitor/table"
)

// bag writes a JSON object, field by field. As in Application Insights the value of a
// property is a text, but for arrays and maps.
type bag struct {
	buf  []byte
	seen map[string]bool
}

// maxDepth is how deep values may be nested; what is deeper is null.
const maxDepth = 12

// string returns the object, "" for one without fields.
func (b *bag) string() string {
	if len(b.buf) == 0 {
		return ""
	}
	return string(b.buf) + "}"
}

// name writes the name of a field. It returns false for one that was written before.
func (b *bag) name(name string) bool {
	if b.seen == nil {
		b.seen = make(map[string]bool, 16)
	}
	if b.seen[name] {
		return false
	}
	b.seen[name] = true
	if len(b.buf) == 0 {
		b.buf = append(b.buf, '{')
	} else {
		b.buf = append(b.buf, ',')
	}
	b.quote(table.Clip(name, 256))
	b.buf = append(b.buf, ':')
	return true
}

// text writes a field unless the text is "".
func (b *bag) text(name, value string) {
	if value != "" && b.name(name) {
		b.quote(table.Clip(value, maxText))
	}
}

// value writes a field with the value of an attribute.
func (b *bag) value(name string, v pcommon.Value) {
	if !b.name(name) {
		return
	}
	switch v.Type() {
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		b.json(v, 0)
	case pcommon.ValueTypeStr:
		b.quote(table.Clip(v.Str(), maxText))
	case pcommon.ValueTypeInt:
		b.buf = append(strconv.AppendInt(append(b.buf, '"'), v.Int(), 10), '"')
	default:
		b.quote(scalar(v))
	}
}

// json writes a value with its own type.
func (b *bag) json(v pcommon.Value, depth int) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b.quote(table.Clip(v.Str(), maxText))
	case pcommon.ValueTypeBool:
		b.buf = strconv.AppendBool(b.buf, v.Bool())
	case pcommon.ValueTypeInt:
		b.buf = strconv.AppendInt(b.buf, v.Int(), 10)
	case pcommon.ValueTypeDouble:
		if f := v.Double(); math.IsNaN(f) || math.IsInf(f, 0) {
			b.quote(strconv.FormatFloat(f, 'g', -1, 64))
		} else {
			b.buf = strconv.AppendFloat(b.buf, f, 'g', -1, 64)
		}
	case pcommon.ValueTypeBytes:
		b.quote(base64.StdEncoding.EncodeToString(v.Bytes().AsRaw()))
	case pcommon.ValueTypeSlice:
		b.array(v.Slice(), depth)
	case pcommon.ValueTypeMap:
		b.object(v.Map(), depth)
	default:
		b.buf = append(b.buf, "null"...)
	}
}

func (b *bag) array(s pcommon.Slice, depth int) {
	if depth >= maxDepth {
		b.buf = append(b.buf, "null"...)
		return
	}
	b.buf = append(b.buf, '[')
	for i, v := range s.All() {
		if i > 0 {
			b.buf = append(b.buf, ',')
		}
		b.json(v, depth+1)
	}
	b.buf = append(b.buf, ']')
}

func (b *bag) object(m pcommon.Map, depth int) {
	if depth >= maxDepth {
		b.buf = append(b.buf, "null"...)
		return
	}
	b.buf = append(b.buf, '{')
	seen := make(map[string]bool, m.Len())
	for name, v := range m.All() {
		if seen[name] {
			continue
		}
		if len(seen) > 0 {
			b.buf = append(b.buf, ',')
		}
		seen[name] = true
		b.quote(table.Clip(name, 256))
		b.buf = append(b.buf, ':')
		b.json(v, depth+1)
	}
	b.buf = append(b.buf, '}')
}

// quote writes a text as a JSON string; bytes that are no UTF-8 become U+FFFD.
func (b *bag) quote(s string) {
	const hex = "0123456789abcdef"
	b.buf = append(b.buf, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			b.buf = utf8.AppendRune(b.buf, r)
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b.buf = append(b.buf, '\\', c)
		case c == '\n':
			b.buf = append(b.buf, '\\', 'n')
		case c == '\t':
			b.buf = append(b.buf, '\\', 't')
		case c < 0x20:
			b.buf = append(b.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b.buf = append(b.buf, c)
		}
		i++
	}
	b.buf = append(b.buf, '"')
}
