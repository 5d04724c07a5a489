package page

import (
	"time"

	"towpath.dev/towpath/internal/pipeline"
)

// KeptJob is a failed job that its agent has left as it is.
type KeptJob struct {
	Path  string
	Title string
	Agent string
	Kept  pipeline.Kept
}

// terminalHref is the page of a terminal in a kept job.
func (v Run) terminalHref(s Shell, k KeptJob) string {
	return v.path(s) + "/terminal" + Query("job", k.Path)
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04 UTC") }
