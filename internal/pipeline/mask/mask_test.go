package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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

// secrets are n values such as services hand out: words of letters and digits, some of which
// begin alike.
func secrets(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, n)
	for i := range out {
		b := make([]byte, 20+r.IntN(44))
		for j := range b {
			b[j] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"[r.IntN(66)]
		}
		out[i] = string(b)
		if i%4 == 0 {
			out[i] = "ghp_" + out[i]
		}
	}
	return out
}

// output is text as builds print it, with a secret in one line of many.
func output(size int, hidden []string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "1767225600%03d [%d/4000] Compiling package example.com/shop/internal/part%d (%x) ok in %dms\n", i%1000, i%4000, i, i*2654435761, i%977)
		if i%500 == 499 {
			fmt.Fprintf(&b, "1767225600000 export TOKEN=%s\n", hidden[i%len(hidden)])
		}
	}
	return b.Bytes()
}

// Each of many secrets is found in the middle of text, whatever stands around it; nothing
// else is touched.
func TestManySecrets(t *testing.T) {
	all := secrets(200)
	m := mask.New(all...)
	for i, s := range all {
		text := "key=" + s + ";next=" + all[(i+1)%len(all)]
		if got := m.String(text); got != "key=***;next=***" {
			t.Errorf("%q became %q", text, got)
		}
	}
	plain := bytes.ReplaceAll(output(1<<20, all[:1]), []byte(all[0]), []byte("nothing"))
	if got := m.Bytes(plain); !bytes.Equal(got, plain) {
		t.Error("harmless output was changed")
	}
}

// A secret is hidden also in the forms that tools print, and the password of a URL even when
// nobody said that it is one.
func TestDerivedFormsL033(t *testing.T) {
	m := mask.New(`a"b\c d&e`)
	for text, want := range map[string]string{
		`{"key":"a\"b\\c d&e"}`:                       `{"key":"***"}`,
		`{"key":"a\"b\\c d\u0026e"}`:                  `{"key":"***"}`,
		"q=a%22b%5Cc%20d&e":                           "q=***",
		"q=a%22b%5Cc+d%26e;":                          "q=***;",
		`a"b\\c d&e`:                                  "***",
		"clone https://ada:sesame@git.example.com/x":  "clone https://ada:***@git.example.com/x",
		"two http://a:b@c and ftp://d:e@f.":           "two http://a:***@c and ftp://d:***@f.",
		"http://host:8080/path?mail=a@b":              "http://host:8080/path?mail=a@b",
		"http://host:8080 then x@y, http://user@host": "http://host:8080 then x@y, http://user@host",
		"https://x:***@git.example.com":               "https://x:***@git.example.com",
	} {
		if got := m.String(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	// The shortest secret is a setting, which cannot be raised until nothing is hidden.
	for length, want := range map[int]string{1: "*** *** ***", 3: "ab *** ***", 100: "ab abc ***"} {
		m := mask.New()
		m.SetMinLength(length)
		for _, s := range []string{"ab", "abc", "abcdef"} {
			m.Add(s)
		}
		if got := m.String("ab abc abcdef"); got != want {
			t.Errorf("at least %d: %q, want %q", length, got, want)
		}
	}
}

// BenchmarkMask tells how fast output is masked with 200 secrets, of which one stands in a
// line of five hundred, as the agent does it: a buffer of lines at a time.
func BenchmarkMask(b *testing.B) {
	all := secrets(200)
	m := mask.New(all...)
	text := output(64<<10, all)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m.Bytes(text)
	}
}
