package table_test

import (
	"testing"

	"towpath.dev/towpath/internal/monitor/table"
)

func TestClip(t *testing.T) {
	tests := []struct {
		text string
		n    int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"abc", 0, ""},
		{"aé", 2, "a"}, {"aéb", 3, "aé"}, {"日本", 5, "日"}, {"😀", 3, ""}, {"\x80\x80\x80\x80\x80\x80", 5, "\x80\x80\x80\x80\x80"},
	}
	for _, tt := range tests {
		if got := table.Clip(tt.text, tt.n); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.text, tt.n, got, tt.want)
		}
		if got := string(table.Clip([]byte(tt.text), tt.n)); got != tt.want {
			t.Errorf("Clip of the bytes of %q, %d = %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
	if got := table.Shorten("aéb", 2); got != "a…" {
		t.Errorf("Shorten() = %q", got)
	}
	if got := table.Shorten("aéb", 4); got != "aéb" {
		t.Errorf("Shorten() = %q", got)
	}
}
