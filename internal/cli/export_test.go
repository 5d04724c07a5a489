package cli

import (
	"io"

	"towpath.dev/towpath/internal/monitor"
)

// WriteCSV is writeCSV.
func WriteCSV(out io.Writer, a *monitor.Answer) error { return writeCSV(out, a) }

// WriteTable writes an answer as a table.
func WriteTable(out io.Writer, a *monitor.Answer) error {
	return answerTable(a).write(out, io.Discard, false)
}
