package scalar

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"io"
	"unicode/utf8"

	"towpath.dev/towpath/internal/monitor/kql/value"
)

func compressors() map[string]Func {
	return map[string]Func{
		"zlib_compress_to_base64_string":     strict(compress(func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriterLevel(w, zlib.BestSpeed) })),
		"gzip_compress_to_base64_string":     strict(compress(func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestSpeed) })),
		"zlib_decompress_from_base64_string": strict(decompress(func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })),
		"gzip_decompress_from_base64_string": strict(decompress(func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })),
	}
}

func compress(open func(w io.Writer) (io.WriteCloser, error)) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		var b bytes.Buffer
		w, err := open(&b)
		if err != nil {
			return nil
		}
		if _, err := io.WriteString(w, value.String(a[0])); err != nil || w.Close() != nil {
			return nil
		}
		return base64.StdEncoding.EncodeToString(b.Bytes())
	}
}

// decompress gives null for what is not compressed text, or longer than maxText.
func decompress(open func(r io.Reader) (io.Reader, error)) func(c *Call, a []any) any {
	return func(_ *Call, a []any) any {
		raw, ok := base64Bytes(a[0])
		if !ok {
			return nil
		}
		r, err := open(bytes.NewReader(raw))
		if err != nil {
			return nil
		}
		text, err := io.ReadAll(io.LimitReader(r, maxText+1))
		if err != nil || len(text) > maxText || !utf8.Valid(text) {
			return nil
		}
		return string(text)
	}
}
