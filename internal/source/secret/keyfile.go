package secret

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// utf16Text returns text in UTF-16 with a byte order mark as UTF-8: what PowerShell
// writes by default would pass for a binary file else.
func utf16Text(data []byte) ([]byte, bool) {
	if len(data) < 4 {
		return nil, false
	}
	var order binary.ByteOrder
	switch {
	case data[0] == 0xff && data[1] == 0xfe:
		order = binary.LittleEndian
	case data[0] == 0xfe && data[1] == 0xff:
		order = binary.BigEndian
	default:
		return nil, false
	}
	units := make([]uint16, 0, len(data)/2)
	for i := 2; i+1 < len(data); i += 2 {
		units = append(units, order.Uint16(data[i:]))
	}
	return []byte(string(utf16.Decode(units))), true
}

// scanBinary looks for keys in a binary file: a whole file in a key format, or a key
// block within it.
func (e *Engine) scanBinary(path string, data []byte) []Finding {
	if title := keyFile(data); title != "" {
		f := Finding{Rule: "key-file", Title: title, Line: 1, Column: 1, Secret: Raw(data[:min(len(data), 64<<10)])}
		f.Redacted = "(binary file)"
		return []Finding{f}
	}
	begin := []byte("-----BEGIN ")
	if !bytes.Contains(data, begin) {
		return nil
	}
	s := e.work.Get().(*scan)
	defer e.work.Put(s)
	var out []Finding
	for _, f := range s.run(path, data) {
		if strings.Contains(f.Rule, "private-key") {
			out = append(out, f)
		}
	}
	return out
}

// keyFile returns what kind of key a binary file is, "" when it is none.
func keyFile(data []byte) string {
	switch {
	case isPKCS12(data):
		return "A PKCS#12 file (.p12, .pfx): a certificate with its private key."
	case isPKCS8(data):
		return "A private key in DER form (PKCS#8 or PKCS#1)."
	case hasJavaKey(data):
		return "A Java key store that holds a private key."
	}
	return ""
}

// sequence cuts the content of a DER SEQUENCE that makes up all of data, give or take a
// few bytes of padding.
func sequence(data []byte) (content []byte, ok bool) {
	if len(data) < 8 || data[0] != 0x30 {
		return nil, false
	}
	switch n := int(data[1]); {
	case n < 0x80:
		return data[2:], n+2 <= len(data)
	case n == 0x80: // Without a length, as Java writes PKCS#12.
		return data[2:], true
	case n <= 0x83:
		size := 0
		for _, b := range data[2 : 2+n-0x80] {
			size = size<<8 | int(b)
		}
		rest := data[2+n-0x80:]
		return rest, size <= len(rest) && len(rest)-size < 16
	}
	return nil, false
}

// isPKCS12 looks for PFX ::= SEQUENCE { version INTEGER (3), authSafe … pkcs7 … }
// (RFC 7292).
func isPKCS12(data []byte) bool {
	c, ok := sequence(data)
	oid := []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07}
	return ok && bytes.HasPrefix(c, []byte{2, 1, 3, 0x30}) && bytes.Contains(c[:min(len(c), 32)], oid)
}

// isPKCS8 looks for PrivateKeyInfo ::= SEQUENCE { version INTEGER (0 or 1),
// AlgorithmIdentifier, … } (RFC 5958) and RSAPrivateKey ::= SEQUENCE { version 0,
// modulus INTEGER of 128 bytes or more, … } (RFC 8017).
func isPKCS8(data []byte) bool {
	c, ok := sequence(data)
	if !ok || len(c) < 24 || c[0] != 2 || c[1] != 1 || c[2] > 1 {
		return false
	}
	if c[3] == 0x30 {
		for _, oid := range [][]byte{
			{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01}, // rsaEncryption
			{0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01},             // ecPublicKey
			{0x2b, 0x65, 0x70}, // Ed25519
		} {
			if c[5] == 6 && int(c[6]) == len(oid) && bytes.HasPrefix(c[7:], oid) {
				return true
			}
		}
		return false
	}
	return c[2] == 0 && c[3] == 2 && (c[4] == 0x81 || c[4] == 0x82) && len(c) > 300
}

// hasJavaKey walks over the entries of a Java key store (magic 0xFEEDFEED) and reports
// whether one is a private key; a store of trusted certificates is no secret.
func hasJavaKey(data []byte) bool {
	if len(data) < 16 || binary.BigEndian.Uint32(data) != 0xfeedfeed {
		return false
	}
	// The first entry's tag: 1 is a private key, 2 a certificate. A store that holds
	// both begins with either; each certificate is stepped over.
	rest := data[12:]
	for range min(binary.BigEndian.Uint32(data[8:]), 10000) {
		if len(rest) < 6 {
			return false
		}
		if binary.BigEndian.Uint32(rest) == 1 {
			return true
		}
		var ok bool
		if rest, ok = skipTrusted(rest); !ok {
			return false
		}
	}
	return false
}

// skipTrusted steps over an entry: tag, alias, date, type, certificate.
func skipTrusted(rest []byte) ([]byte, bool) {
	skip := func(n int) bool {
		if n < 0 || n > len(rest) {
			return false
		}
		rest = rest[n:]
		return true
	}
	text := func() bool {
		return len(rest) >= 2 && skip(2+int(binary.BigEndian.Uint16(rest)))
	}
	ok := skip(4) && text() && skip(8) && text() && len(rest) >= 4 && skip(4+int(binary.BigEndian.Uint32(rest)))
	return rest, ok
}
