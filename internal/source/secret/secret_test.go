package secret_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"towpath.dev/towpath/internal/source/secret"
)

func engine(t testing.TB) *secret.Engine {
	t.Helper()
	e, err := secret.New()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sample is one line of testdata/gitleaks-samples.jsonl.gz.
type sample struct {
	Rule  string `json:"rule"`
	Path  string `json:"path"`
	Text  string `json:"text"`
	Found bool   `json:"found"`
}

func samples(t testing.TB) []sample {
	t.Helper()
	raw, err := os.ReadFile("testdata/gitleaks-samples.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if lines.Err() != nil || len(out) < 6000 {
		t.Fatalf("%d samples: %v", len(out), lines.Err())
	}
	return out
}

func TestGitleaksSamples(t *testing.T) {
	e := engine(t)
	var positives, missed, negatives, wrong, other int
	for _, s := range samples(t) {
		found, byRule := e.Scan(s.Path, []byte(s.Text)), false
		for _, f := range found {
			byRule = byRule || f.Rule == s.Rule
		}
		switch {
		case s.Found:
			positives++
			if len(found) == 0 {
				missed++
				t.Logf("missed %s: %q", s.Rule, s.Text)
			} else if !byRule {
				other++
			}
		default:
			negatives++
			if byRule {
				wrong++
				t.Logf("wrong %s: %q", s.Rule, s.Text)
			}
		}
	}
	fmt.Printf("gitleaks samples: %d of %d found (%d by another rule), %d of %d wrongly\n", positives-missed, positives, other, wrong, negatives)
	if missed*100 > positives || wrong*100 > negatives {
		t.Errorf("missed %d of %d, wrong %d of %d; at most 1 %% each", missed, positives, wrong, negatives)
	}
}
