package cli_test

import (
	"strings"
	"testing"

	"towpath.dev/towpath/internal/cli"
	"towpath.dev/towpath/internal/monitor"
)

// TestAnswersMoveNeitherTerminalNorSpreadsheet prints what a service may have written, also
// as the name of a column (bag_unpack).
func TestAnswersMoveNeitherTerminalNorSpreadsheet(t *testing.T) {
	a := &monitor.Answer{
		Columns: []monitor.Column{{Name: "\x1b[2Jname", Type: "string"}, {Name: "=cmd|' /C calc'!A0", Type: "string"}, {Name: "n", Type: "long"}},
		Rows:    [][]any{{"\x1b]0;pwned\a", "=HYPERLINK(\"http://x\")", -1.0}, {"@SUM(1)", "plain - text", nil}},
	}
	var b strings.Builder
	if err := cli.WriteTable(&b, a); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a") || !strings.Contains(b.String(), "pwned") {
		t.Errorf("table %q", b.String())
	}
	b.Reset()
	if err := cli.WriteCSV(&b, a); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[2Jname,'=cmd|' /C calc'!A0,n\n\x1b]0;pwned\a,\"'=HYPERLINK(\"\"http://x\"\")\",-1\n'@SUM(1),plain - text,\n"
	if b.String() != want {
		t.Errorf("csv %q, want %q", b.String(), want)
	}
}
