package otlp

import (
	"encoding/binary"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"towpath.dev/towpath/internal/fault"
)

// maxNesting is how deep the messages of a request may lie in each other. The decoder calls
// itself for each level, and four bytes make one: a request of 4 MiB, which is a few KiB on
// its way, would take 400 MiB of stack. This many take two.
const maxNesting = 5000

// errNesting refuses a request before it is decoded.
var errNesting = fault.New(fault.Invalid, "The request holds values that are nested deeper than %d levels.", maxNesting).WithNext("flatten the attributes")

// nested reports whether something in a protobuf message may lie deeper than limit levels.
// Only what is decoded says which fields are messages, so that every field with a length is
// looked into; a text that reads as thousands of messages in each other does not happen by
// chance. Each byte is looked at once: a level steps over what the one below it reads.
func nested(b []byte, limit int) bool {
	if limit == 0 {
		return true
	}
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return false // The decoder ends here as well.
		}
		b = b[n:]
		size := uint64(0)
		switch tag & 7 {
		case 0:
			if _, n = binary.Uvarint(b); n <= 0 {
				return false
			}
			size = uint64(n)
		case 1:
			size = 8
		case 5:
			size = 4
		case 2:
			if size, n = binary.Uvarint(b); n <= 0 {
				return false
			}
			if b = b[n:]; size <= uint64(len(b)) && nested(b[:size], limit-1) {
				return true
			}
		}
		if size > uint64(len(b)) {
			return false
		}
		b = b[size:]
	}
	return false
}

// nestedJSON is nested for JSON, of which every bracket is a level.
func nestedJSON(b []byte, limit int) bool {
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// bounded is a codec of gRPC that refuses what is nested too deeply.
type bounded struct{ encoding.CodecV2 }

// Unmarshal decodes a message.
func (c bounded) Unmarshal(data mem.BufferSlice, v any) error {
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	if nested(whole.ReadOnlyData(), maxNesting) {
		return errNesting
	}
	return c.CodecV2.Unmarshal(mem.BufferSlice{whole}, v)
}
