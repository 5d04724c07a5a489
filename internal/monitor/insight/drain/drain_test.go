package drain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/monitor/insight/drain"
)

func TestMask(t *testing.T) {
	for line, want := range map[string]string{
		"GET /cart/17/items 200 12ms":                                "GET /cart/<*>/items <num> <dur>",
		"connection from 10.1.2.3:5123 closed":                       "connection from <ip> closed",
		"user=ada id=8d3f9a20-11aa-4b7e-9c3d-0a1b2c3d4e5f took=1.5s": "user=ada id=<id> took=<dur>",
		`cannot open "a file" for 'bob': retry (3)`:                  `cannot open <str> for <str>: retry (<num>)`,
		"can't reach db-0":                                           "can't reach db-0",
		"2026-05-04T12:30:00.123Z 12:30:01 2026-05-04":               "<time> <time> <time>",
		"digest sha256:aabbccddeeff00112233, at 0xc000123":           "digest <id>, at <id>",
		"99.5% of 1,024 blocks, 20MB left":                           "<num> of <num> blocks, <dur> left",
		"fe80::1 and [2001:db8::2] up":                               "<ip> and [<ip>] up",
		"pod web-7d4b9c6f5d-x2x9z evicted":                           "pod <id> evicted",
		"https://shop.example/v1/orders/8812?x=1 failed":             "https://shop.example/v1/orders/<*>?<*> failed",
		"plain words stay as they are":                               "plain words stay as they are",
		"":                                                           "",
	} {
		if got := drain.Mask(line); got != want {
			t.Errorf("Mask(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestLinesOfOneStatementAreOnePattern(t *testing.T) {
	m := drain.New(drain.Options{})
	names := []string{"ada", "bob", "eve"}
	for i := range 300 {
		m.Add(fmt.Sprintf("user %s logged in from 10.0.0.%d", names[i%3], i%250), 1)
		m.Add(fmt.Sprintf("payment of %d failed: card declined", i), 1)
		if i%3 == 0 {
			m.Add("cache warmed", 1)
		}
	}
	want := []drain.Pattern{
		{Text: "user <*> logged in from <ip>", Count: 300, Sample: "user ada logged in from 10.0.0.0"},
		{Text: "payment of <num> failed: card declined", Count: 300, Sample: "payment of 0 failed: card declined"},
		{Text: "cache warmed", Count: 100, Sample: "cache warmed"},
	}
	if diff := cmp.Diff(want, m.Patterns()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestAMinerIsBounded: lines that have nothing in common do not make it grow.
func TestAMinerIsBounded(t *testing.T) {
	m := drain.New(drain.Options{Patterns: 50, Children: 10})
	letters := func(i int) string {
		return strings.Map(func(r rune) rune { return 'a' + (r-'0')%26 }, fmt.Sprintf("%06d", i*7919))
	}
	for i := range 5000 {
		m.Add(letters(i)+" "+letters(i+1)+" "+strings.Repeat("x ", i%40), 1)
	}
	total := int64(0)
	patterns := m.Patterns()
	for _, p := range patterns {
		total += p.Count
	}
	if len(patterns) > 50 || total != 5000 {
		t.Errorf("%d patterns of %d lines", len(patterns), total)
	}
}

func FuzzAdd(f *testing.F) {
	f.Add("GET /cart/17 200 12ms", "a\x00b 'c")
	f.Add("\"", "=")
	f.Fuzz(func(t *testing.T, a, b string) {
		m := drain.New(drain.Options{Patterns: 2})
		for _, line := range []string{a, b, a + b} {
			m.Add(line, 1)
		}
		total := int64(0)
		for _, p := range m.Patterns() {
			total += p.Count
		}
		if total != 3 {
			t.Fatalf("%d lines of 3", total)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	m := drain.New(drain.Options{})
	i := 0
	for b.Loop() {
		i++
		m.Add(fmt.Sprintf("user u%d logged in from 10.0.0.%d after 12ms with status=200", i, i%250), 1)
	}
}
