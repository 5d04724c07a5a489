package metric_test

import (
	"os"
	"testing"
)

// copyTree copies a folder as it is.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
