package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPageIsCurrent(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := Page(root)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(root, Target))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is stale; run go run ./scripts/conformance:\n%s", Target, diff)
	}
}

// TestRowsAreComplete makes sure that no row gets lost: the numbers of rows of each kind
// are those of the reference.
func TestRowsAreComplete(t *testing.T) {
	sections, err := readRows("ids.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	seen := map[string]bool{}
	for _, s := range sections {
		for _, r := range s.rows {
			if seen[r.id] {
				t.Errorf("%s stands twice", r.id)
			}
			seen[r.id] = true
			count[r.id[:1]]++
		}
	}
	want := map[string]int{"Y": 284, "X": 78, "T": 16, "V": 10, "D": 11, "C": 15, "L": 31, "P": 9, "K": 25, "J": 12}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"TestOutputNamesV006V007":           {"V006", "V007"},
		"TestKeysY001toY003":                {"Y001", "Y002", "Y003"},
		"X046_scopes_of_variables_X047":     {"X046", "X047"},
		"X006b_variables":                   {"X006b"},
		leadingPlain.FindString("L004 a"):   {"L004"},
		leadingPlain.FindString("L004abc"):  nil,
		leadingPlain.FindString("see L004"): nil,
		"Y044 Y090-Y092":                    {"Y044", "Y090", "Y091", "Y092"},
	} {
		if got := idsOf(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
