package identity

import "testing"

// HashCost returns the stored form of a password, to look at its parameters.
func HashCost(t *testing.T, password string) string {
	t.Helper()
	h, err := newHasher().hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
