package web

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/web/page"
)

const (
	// maxFolds and maxIssues bound what an outline keeps of a log.
	maxFolds  = 5000
	maxIssues = 500
	// maxIssueText is how much of a line an outline keeps, in bytes.
	maxIssueText = 400
	// maxOutlines is how many outlines are kept in memory.
	maxOutlines = 256
)

// outline is what a log is made of: its groups, errors and warnings. Lines count from 0 in
// groups, as the viewer needs them, and from 1 in issues, as people do.
type outline struct {
	Total    int64        `json:"total"` // lines looked at
	Groups   [][2]int64   `json:"groups"`
	Issues   []page.Issue `json:"issues"`
	Errors   int          `json:"errors"`
	Warnings int          `json:"warnings"`

	began time.Time // of the first line: another attempt of the step has another one
	open  []int     // groups that have not ended
}

// add looks at the next line.
func (o *outline) add(l pipeline.Line) {
	o.Total = l.N + 1
	if n := len(o.open); n > 0 {
		for _, i := range o.open {
			o.Groups[i][1] = l.N
		}
		if page.Marker(l.Text) == "endgroup" {
			o.open = o.open[:n-1]
			return
		}
	}
	switch page.Marker(l.Text) {
	case "group":
		if len(o.Groups) < maxFolds {
			o.open = append(o.open, len(o.Groups))
			o.Groups = append(o.Groups, [2]int64{l.N, l.N})
		}
	case "error":
		o.Errors++
		o.issue(page.Shut, l)
	case "warning":
		o.Warnings++
		o.issue(page.Held, l)
	}
}

// issue keeps a line. Errors take the place of warnings when there are too many.
func (o *outline) issue(s page.State, l pipeline.Line) {
	one := page.Issue{State: s, Kind: "warning", Line: l.N + 1, Text: page.IssueText(l.Text, maxIssueText)}
	if s == page.Shut {
		one.Kind = "error"
	}
	if len(o.Issues) < maxIssues {
		o.Issues = append(o.Issues, one)
		return
	}
	for i := len(o.Issues) - 1; s == page.Shut && i >= 0; i-- {
		if o.Issues[i].State == page.Held {
			o.Issues = append(append(o.Issues[:i:i], o.Issues[i+1:]...), one)
			return
		}
	}
}

// outlines keeps outlines, so that a long log is read once however often its page is looked
// at. It asks nobody for rights: who has read a line of the log may.
type outlines struct {
	mu   sync.Mutex
	kept map[logRef]*outline
}

// outlineOf returns the outline of a log by now. The log is read on from where it was last.
func (h *handler) outlineOf(r request, ref logRef) (outline, error) {
	head, err := h.Pipeline.ReadLog(r.Context(), r.actor, ref.run, ref.job, ref.step, 0, 1)
	if err != nil {
		return outline{}, err
	}
	h.outlines.mu.Lock()
	was := h.outlines.kept[ref]
	h.outlines.mu.Unlock()
	o := outline{Groups: [][2]int64{}, Issues: []page.Issue{}}
	if len(head.Lines) > 0 {
		o.began = head.Lines[0].Time
	}
	if was != nil && was.Total <= head.Total && was.began.Equal(o.began) {
		if was.Total == head.Total {
			return *was, nil
		}
		o = was.clone()
	}
	err = h.eachFrom(r, ref, o.Total, func(l pipeline.Line) bool {
		o.add(l)
		return l.N < searched
	})
	if err != nil {
		return outline{}, err
	}
	h.outlines.mu.Lock()
	defer h.outlines.mu.Unlock()
	if h.outlines.kept == nil || len(h.outlines.kept) >= maxOutlines {
		h.outlines.kept = map[logRef]*outline{}
	}
	mine := o.clone()
	h.outlines.kept[ref] = &mine
	return o, nil
}

// clone copies what add changes.
func (o *outline) clone() outline {
	c := *o
	c.Groups, c.Issues, c.open = append([][2]int64{}, o.Groups...), append([]page.Issue{}, o.Issues...), append([]int(nil), o.open...)
	return c
}

// logOutline answers with the outline of a log, for the viewer.
func (h *handler) logOutline(w http.ResponseWriter, r request) error {
	ref, err := h.logRef(r)
	if err != nil {
		return err
	}
	o, err := h.outlineOf(r, ref)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return ignoreGone(json.NewEncoder(w).Encode(o))
}
