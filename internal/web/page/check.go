package page

import (
	"strings"
	"time"
)

// Hold is a check that holds a stage of a run.
type Hold struct {
	ID           string
	Run          int64
	Change       string // first line of the run's commit
	Attempt      int    // of the stage
	Seats        []Seat // of an approval
	Status       string // of check
	Deadline     time.Time
	Finished     time.Time
	Stage        string
	Resource     string // "environment/production"
	Name         string
	Since        time.Time
	Waits        []string // "user:ada", "role:maintain"
	Why          string
	Instructions string
	Mine         bool // the visitor may answer
	Permit       bool // it is a permission, not an approval
}

// by names whom or what it waits for.
func (h Hold) by() string {
	if len(h.Waits) == 0 {
		return h.Why
	}
	return strings.Join(h.Waits, ", ")
}
