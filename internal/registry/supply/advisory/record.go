package advisory

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"towpath.dev/towpath/internal/fault"
)

// Record is one advisory, reduced to what matching and reports need.
type Record struct {
	ID        string     `json:"id"`
	Aliases   []string   `json:"aliases,omitempty"` // sorted
	Modified  time.Time  `json:"modified,omitzero"` // zero when the source does not say
	Published time.Time  `json:"published,omitzero"`
	Withdrawn time.Time  `json:"withdrawn,omitzero"`
	Severity  Severity   `json:"severity"`
	Score     float64    `json:"score,omitempty"` // CVSS base score, 0 when unknown
	Summary   string     `json:"summary,omitempty"`
	Affected  []Affected `json:"affected,omitempty"`
}

// Affected says which versions of one package an advisory is about: those in
// Versions and those inside one of Ranges.
type Affected struct {
	Ecosystem string   `json:"ecosystem"` // OSV's word: "Go", "Debian:12", "npm"
	Package   string   `json:"package"`
	Ranges    []Range  `json:"ranges,omitempty"`
	Versions  []string `json:"versions,omitempty"`
}

// Range is a list of version events that together bound the affected versions.
type Range []Event

// Event is one bound of a range; exactly one field is set. The short JSON names
// keep the stored rows small.
type Event struct {
	Introduced   string `json:"i,omitempty"` // affected from here on; "0" means from the start
	Fixed        string `json:"f,omitempty"` // not affected from here on
	LastAffected string `json:"l,omitempty"` // not affected after this
	Limit        string `json:"m,omitempty"` // nothing is said from here on
}

// Limits on one advisory. The largest real ones (the Linux kernel's) stay below.
const (
	MaxEntry    = 4 << 20 // bytes of JSON
	maxAffected = 5000
	maxEvents   = 2000
	maxVersions = 20000
	maxAliases  = 500
	maxText     = 500 // bytes of a name, version or summary
)

// id is what OSV identifiers look like: "GO-2026-5026", "RHSA-2024:1234",
// "DEBIAN-CVE-2024-1". It keeps them safe to print and to link.
var id = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

// The OSV schema, as far as it is read. Unknown fields are ignored: the schema grows.
type osv struct {
	ID               string        `json:"id"`
	Aliases          []string      `json:"aliases"`
	Modified         time.Time     `json:"modified"`
	Published        time.Time     `json:"published"`
	Withdrawn        time.Time     `json:"withdrawn"`
	Summary          string        `json:"summary"`
	Severity         []osvSeverity `json:"severity"`
	Affected         []osvAffected `json:"affected"`
	DatabaseSpecific struct {
		Severity any `json:"severity"`
	} `json:"database_specific"`
}

type osvSeverity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

type osvAffected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Severity []osvSeverity `json:"severity"`
	Ranges   []struct {
		Type   string `json:"type"`
		Events []struct {
			Introduced   string `json:"introduced"`
			Fixed        string `json:"fixed"`
			LastAffected string `json:"last_affected"`
			Limit        string `json:"limit"`
		} `json:"events"`
	} `json:"ranges"`
	Versions []string `json:"versions"`
}

// Parse reads one OSV document. It returns an Invalid fault when the document is
// not OSV and TooLarge when it crosses a limit. GIT ranges are left out: no package
// in an image carries a commit to compare with.
func Parse(data []byte) (Record, error) {
	if len(data) > MaxEntry {
		return Record{}, fault.New(fault.TooLarge, "The advisory has %d bytes; the most is %d.", len(data), MaxEntry)
	}
	if !utf8.Valid(data) {
		return Record{}, fault.New(fault.Invalid, "The advisory is not UTF-8 text.")
	}
	var in osv
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&in); err != nil {
		return Record{}, fault.Wrap(fault.Invalid, err, "The advisory is not OSV JSON.")
	}
	if !id.MatchString(in.ID) {
		return Record{}, fault.New(fault.Invalid, "The advisory has no usable id.")
	}
	if len(in.Affected) > maxAffected || len(in.Aliases) > maxAliases {
		return Record{}, fault.New(fault.TooLarge, "Advisory %s lists too many packages or aliases.", in.ID)
	}
	r := Record{
		ID: in.ID, Modified: known(in.Modified), Published: known(in.Published), Withdrawn: known(in.Withdrawn),
		Summary: cut(in.Summary, maxText),
	}
	for _, a := range in.Aliases {
		if id.MatchString(a) && a != in.ID {
			r.Aliases = append(r.Aliases, a)
		}
	}
	slices.Sort(r.Aliases)
	r.Aliases = slices.Compact(r.Aliases)
	for _, a := range in.Affected {
		aff, err := reduce(in.ID, a)
		if err != nil {
			return Record{}, err
		}
		if aff.Package != "" && len(aff.Ranges)+len(aff.Versions) > 0 {
			r.Affected = append(r.Affected, aff)
		}
	}
	r.Severity, r.Score = in.severity()
	return r, nil
}

func reduce(advisory string, a osvAffected) (Affected, error) {
	out := Affected{Ecosystem: a.Package.Ecosystem, Package: a.Package.Name, Versions: a.Versions}
	if out.Package == "" || out.Ecosystem == "" {
		return Affected{}, nil // About a Git repository only.
	}
	if len(out.Package) > maxText || len(out.Ecosystem) > maxText || len(a.Versions) > maxVersions {
		return Affected{}, fault.New(fault.TooLarge, "Advisory %s has a name or a version list over the limit.", advisory)
	}
	events := 0
	for _, r := range a.Ranges {
		if events += len(r.Events); events > maxEvents {
			return Affected{}, fault.New(fault.TooLarge, "Advisory %s has over %d range events.", advisory, maxEvents)
		}
		if r.Type == "GIT" {
			continue
		}
		var rng Range
		for _, e := range r.Events {
			set := 0
			for _, v := range []string{e.Introduced, e.Fixed, e.LastAffected, e.Limit} {
				if v != "" {
					set++
				}
				if len(v) > maxText {
					return Affected{}, fault.New(fault.TooLarge, "Advisory %s has a version over %d bytes.", advisory, maxText)
				}
			}
			if set != 1 {
				return Affected{}, fault.New(fault.Invalid, "Advisory %s has a range event with %d bounds instead of one.", advisory, set)
			}
			rng = append(rng, Event(e))
		}
		if len(rng) > 0 {
			out.Ranges = append(out.Ranges, rng)
		}
	}
	return out, nil
}

// severity takes the highest CVSS v3 score given for the advisory or a package of
// it. Without one (CVSS v4 alone, or none) it takes the database's own word.
func (in osv) severity() (Severity, float64) {
	best := 0.0
	list := slices.Clone(in.Severity)
	for _, a := range in.Affected {
		list = append(list, a.Severity...)
	}
	for _, s := range list {
		if s.Type != "CVSS_V3" {
			continue
		}
		if score, err := Score3(s.Score); err == nil && score > best {
			best = score
		}
	}
	if best > 0 {
		return OfScore(best), best
	}
	if word, ok := in.DatabaseSpecific.Severity.(string); ok {
		return ofWord(word), 0
	}
	return Unknown, 0
}

// known drops the year 1, which is how some databases write "not said".
func known(t time.Time) time.Time {
	if t.Year() < 1990 {
		return time.Time{}
	}
	return t.UTC()
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// String names the advisory for a log line.
func (r Record) String() string { return fmt.Sprintf("%s (%d packages)", r.ID, len(r.Affected)) }
