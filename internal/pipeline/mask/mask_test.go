package mask_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/pipeline/mask"
)

const secret = `p@ss "w\ord'&<x>`

func TestForms(t *testing.T) {
	m := mask.New(secret, "first line of it\nsecond line of it\r\n")
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain":          secret,
		"json":           string(quoted),
		"query":          url.QueryEscape(secret),
		"path":           url.PathEscape(secret),
		"base64":         base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 of pair": base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"base64 shift 1": base64.URLEncoding.EncodeToString([]byte("x" + secret + "tail")),
		"set -x":         "+ echo '" + strings.ReplaceAll(secret, "'", `'\''`) + "'",
		"a line of many": "and: second line of it!",
		"twice":          secret + secret,
	} {
		got := m.String("a " + text + " z")
		if !strings.Contains(got, mask.Stars) || strings.Contains(got, secret) || strings.Contains(got, "second line") {
			t.Errorf("%s: %q", name, got)
		}
		if !strings.HasPrefix(got, "a ") || !strings.HasSuffix(got, " z") {
			t.Errorf("%s: what is around it was lost: %q", name, got)
		}
	}
	if got := m.String("nothing to see"); got != "nothing to see" {
		t.Errorf("harmless text became %q", got)
	}
}

func TestOverlapAndShort(t *testing.T) {
	m := mask.New("abcdef", "defghi", "x", "")
	if got := m.String("1abcdefghi2x"); got != "1***2x" {
		t.Errorf("overlap: %q", got)
	}
	if !m.Holds("..abcdef") || m.Holds("abcde") {
		t.Error("Holds is wrong")
	}
}

// A text that is cut where Cut says, masked in parts, shows no secret, wherever the
// secret stands.
func TestCutNeverSplitsASecret(t *testing.T) {
	m := mask.New("0123456789abcdef")
	for pad := range 64 {
		text := []byte(strings.Repeat(".", pad) + "0123456789abcdef" + strings.Repeat(".", 64-pad))
		// The text arrives in two pieces: the first ends inside the secret or not.
		for arrived := 32; arrived < len(text); arrived++ {
			n := m.Cut(text[:arrived], min(40, arrived-1))
			if n <= 0 {
				t.Fatalf("Cut = %d", n)
			}
			got := m.String(string(text[:n])) + m.String(string(text[n:]))
			if n+16 <= arrived && !strings.Contains(got, mask.Stars) {
				t.Fatalf("pad %d, arrived %d, cut %d: %q", pad, arrived, n, got)
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("hunter22", "my hunter22 is hunter2222")
	f.Fuzz(func(t *testing.T, s, text string) {
		m := mask.New(s)
		got := m.String(text)
		if line := strings.Trim(s, "\r\n"); len(strings.TrimSpace(line)) >= mask.MinLength && !strings.ContainsAny(line, "\r\n*") && strings.Contains(got, line) {
			t.Errorf("secret %q is left in %q", line, got)
		}
	})
}
