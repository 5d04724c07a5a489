package page

import (
	"time"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/event"
)

// DriftView is what is known of drift in one environment, or of one release in it.
type DriftView struct {
	Mode     string         // off, warn or enforce
	Settings string         // address of the setting
	Now      []deploy.Drift // what differs
	Mended   []Mended       // what was put back, newest first
	Releases bool           // of an environment: rows name their release
}

// Mended is an object that was put back as it was deployed.
type Mended struct {
	event.DriftFound
	At time.Time
}

// state says in a few words whether what lives is what was deployed.
func (v DriftView) state() (State, string) {
	switch {
	case len(v.Now) > 0:
		return Held, Plural(len(v.Now), "object differs", "objects differ")
	case v.Mode == deploy.Off:
		return Wait, "not looked for"
	}
	return Open, "nothing differs"
}

// gone reports whether an object is not there at all.
func gone(fields []string) bool { return len(fields) == 1 && fields[0] == deploy.DeletedObject }

// why says why an object was not put back, or that it is not meant to be.
func (v DriftView) why(d deploy.Drift) string {
	switch {
	case d.Why != "":
		return "not put back: " + d.Why
	case v.Mode == deploy.Enforce:
		return "is being put back"
	}
	return "stays: drift is only told of here"
}
