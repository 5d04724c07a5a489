package level_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"towpath.dev/towpath/internal/monitor/level"
)

// accuracy is the share of the labelled lines that must get their label.
const accuracy = 0.98

func TestLevelsOfLabelledLines(t *testing.T) {
	raw, err := os.ReadFile("testdata/levels.txt")
	if err != nil {
		t.Fatal(err)
	}
	right, all := 0, 0
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		want, text, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("the fixture has no label: %q", line)
		}
		all++
		if got := level.Of([]byte(text), strings.HasPrefix(text, "{") && json.Valid([]byte(text))); got == want {
			right++
		} else {
			t.Logf("%s, not %s: %s", got, want, text)
		}
	}
	share := float64(right) / float64(all)
	t.Logf("%d of %d lines have the level that a person gave them: %.1f %%", right, all, 100*share)
	if all < 150 || share < accuracy {
		t.Errorf("%d of %d is less than %.0f %%", right, all, 100*accuracy)
	}
}
