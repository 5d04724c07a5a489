package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"

	"towpath.dev/towpath/internal/fault"
)

// table is what is read, laid out for people: wide columns are shown by -o wide only.
type table struct {
	head []string
	wide int // how many of the columns, at the end, are wide ones
	rows [][]string
	asIs bool   // the heads are names that are written so
	none string // what to say instead of an empty table: what belongs here, and the command that fills it
}

// print writes v in the form that -o asks for; t makes the table of it.
func (e *env) print(v any, t func() table) error {
	switch e.output {
	case "json":
		enc := json.NewEncoder(e.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		_, err = e.out.Write(b)
		return err
	case "table", "wide":
		return t().write(e.out, e.err, e.output == "wide")
	}
	return fault.New(fault.Invalid, "There is no output form %q.", e.output).WithNext("use -o table, wide, json or yaml")
}

func (t table) write(out, notes io.Writer, wide bool) error {
	if len(t.rows) == 0 && t.none != "" {
		_, err := fmt.Fprintln(notes, t.none)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	cut := len(t.head)
	if !wide {
		cut -= t.wide
	}
	if cut > 0 {
		head := strings.Join(clean(t.head[:cut]), "\t") // Columns may be named by what a service wrote.
		if !t.asIs {
			head = strings.ToUpper(head)
		}
		fmt.Fprintln(w, head)
	}
	for _, r := range t.rows {
		n := len(r)
		if len(t.head) > 0 {
			n = min(n, cut)
		}
		fmt.Fprintln(w, strings.Join(clean(r[:n]), "\t"))
	}
	return w.Flush()
}

// clean takes control characters out of cells: what stands in a title or a log may be
// anybody's, and must not move the reader's cursor.
func clean(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = printable(c)
	}
	return out
}

// printable puts a space for each control character and for those that turn the direction
// of writing around.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// ago says how long ago t was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(time.Since(t)) + " ago"
}

// span shortens a duration for people: "850 ms", "12 s", "3 min 20 s", "4 h", "9 d".
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(0, d.Milliseconds()))
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// short cuts a commit or digest to what people compare.
func short(id string) string {
	algorithm, hex, ok := strings.Cut(id, ":")
	if !ok {
		algorithm, hex = "", id
	} else {
		algorithm += ":"
	}
	return algorithm + hex[:min(12, len(hex))]
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
