package page

import (
	"encoding/json"
	"fmt"
	"time"

	"towpath.dev/towpath/internal/monitor"
)

// tab is one page of the room Monitor.
type tab struct{ path, text string }

func monitorTabs() []tab {
	return []tab{
		{"", "Health"}, {"/logs", "Logs"}, {"/metrics", "Metrics"}, {"/traces", "Traces"}, {"/map", "Map"}, {"/errors", "Errors"},
		{"/alerts", "Alerts"}, {"/rules", "Rules"},
	}
}

// Range is a time to look back.
type Range struct {
	Seconds int
	Text    string
}

// Ranges are the times that the pages offer.
func Ranges() []Range {
	return []Range{
		{300, "Last 5 min"}, {900, "Last 15 min"}, {1800, "Last 30 min"}, {3600, "Last hour"}, {4 * 3600, "Last 4 h"}, {24 * 3600, "Last 24 h"},
		{7 * 24 * 3600, "Last 7 d"}, {30 * 24 * 3600, "Last 30 d"},
	}
}

// LogsView is the log explorer.
type LogsView struct {
	Query  string
	Range  int    // seconds
	Start  string // what the script begins with, JSON
	Views  []monitor.View
	Answer *monitor.Answer // nil when a script asks
	Wrong  string          // why there is no answer
	Me     string          // who looks: the owner of some views
}

// maxCell is how many characters of a cell a page without a script shows.
const maxCell = 300

// cellWords writes a cell for people.
func cellWords(c monitor.Column, v any) string {
	text := ""
	switch v := v.(type) {
	case nil:
		return "–"
	case string:
		text = v
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && c.Type == "datetime" {
			text = t.Format("2006-01-02 15:04:05.000")
		}
	case json.RawMessage:
		text = string(v)
		var s string
		if json.Unmarshal(v, &s) == nil {
			text = s
		}
	default:
		text = fmt.Sprint(v)
	}
	if r := []rune(text); len(r) > maxCell {
		return string(r[:maxCell-1]) + "…"
	}
	return text
}
