package bloom_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"towpath.dev/towpath/internal/monitor/lake/bloom"
)

func holds(t *testing.T, s bloom.Set, term string) bool {
	t.Helper()
	f := s.Filter()
	ok, err := bloom.MayHold(bytes.NewReader(append([]byte("12345"), f...)), 5, len(f), bloom.HashOf(term))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestTerms(t *testing.T) {
	for text, want := range map[string][]string{
		"":                            nil,
		"ab c":                        nil,
		"GET /api/v1/Items_42x?q=abc": {"get", "api", "items", "42x", "abc"},
		"Grüße 123":                   {"123"},
		"naïveabc":                    {"veabc"},
	} {
		if got := bloom.Terms(text); !slices.Equal(got, want) {
			t.Errorf("Terms(%q) = %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]bool{"abc": true, "ab": false, "aBc": false, "a_c": false, "äbc": false, "4bf92f3577b34da6": true} {
		if bloom.IsTerm(text) != want {
			t.Errorf("IsTerm(%q) = %v", text, !want)
		}
	}
}

func TestNeverDeniesWhatWasAdded(t *testing.T) {
	for _, n := range []int{0, 1, 30, 5000} {
		s := bloom.Set{}
		for i := range n {
			s.Add(fmt.Sprintf("request id%d, took", i))
		}
		for i := range n {
			if !holds(t, s, fmt.Sprintf("id%d", i)) || !holds(t, s, "request") || !holds(t, s, "took") {
				t.Fatalf("of %d: lost a term of text %d", n, i)
			}
		}
	}
}

func TestDeniesNearlyAllElse(t *testing.T) {
	s := bloom.Set{}
	for i := range 20_000 {
		s.Add(fmt.Sprintf("id%d", i))
	}
	f := s.Filter()
	wrong := 0
	for i := range 20_000 {
		ok, err := bloom.MayHold(bytes.NewReader(f), 0, len(f), bloom.HashOf(fmt.Sprintf("no%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			wrong++
		}
	}
	if wrong > 150 {
		t.Errorf("%d of 20000 terms that were never added are said to be there", wrong)
	}
}

func TestJSONHasTheTermsOfTextAndValue(t *testing.T) {
	s := bloom.Set{}
	s.AddJSON(`{"message":"one\ntwo\tthree \u0066our","path":"C:\\nine"}`)
	for _, term := range []string{"message", "one", "two", "ntwo", "three", "four", "path", "nine", "nnine"} {
		if want := term != "nnine"; holds(t, s, term) != want {
			t.Errorf("holds(%q) = %v", term, !want)
		}
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("GET /api \n \\n x\\u0041bc é")
	f.Fuzz(func(t *testing.T, text string) {
		plain, doc := bloom.Set{}, bloom.Set{}
		plain.Add(text)
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		doc.AddJSON(string(b))
		for _, term := range bloom.Terms(text) {
			if !bloom.IsTerm(term) || !holds(t, plain, term) || !holds(t, doc, term) {
				t.Errorf("lost %q of %q", term, text)
			}
		}
	})
}
