package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
)

// part is what a cell is made of, oldest first in a list.
type part struct {
	lock  string
	key   string // pipeline, "run/title", digest, release or uid
	seq   int64
	time  time.Time
	actor string
	run   int64 // the run that brought it, 0 when none is known
	body  body
}

// body is what a part knows; each lock uses the fields that it needs.
type body struct {
	State       State   `json:"state"`
	Name        string  `json:"name,omitempty"` // repository, environment, pod
	Number      int64   `json:"number,omitempty"`
	Why         string  `json:"why,omitempty"`
	Seconds     float64 `json:"seconds,omitempty"`
	Total       int     `json:"total,omitempty"`
	Passed      int     `json:"passed,omitempty"`
	Failed      int     `json:"failed,omitempty"`
	Critical    int     `json:"critical,omitempty"`
	High        int     `json:"high,omitempty"`
	Medium      int     `json:"medium,omitempty"`
	Packages    int     `json:"packages,omitempty"`
	NoData      bool    `json:"no_data,omitempty"` // scanned without advisory data
	Signed      bool    `json:"signed,omitempty"`
	Gone        bool    `json:"gone,omitempty"`   // the image was deleted from the registry
	Blamed      bool    `json:"blamed,omitempty"` // an item is about what the change did
	Provenance  bool    `json:"provenance,omitempty"`
	Environment string  `json:"environment,omitempty"`
	Weight      int     `json:"weight,omitempty"`  // percent that a canary has; 0 without one
	Subject     string  `json:"subject,omitempty"` // id of what a click opens, where the key is not it
}

// cells makes one change's cells of its parts: the rules of the Path. direct says that the
// change is on the default branch, where each should have come by a pull request.
func cells(parts []part, direct bool) []Cell {
	by := map[string][]part{}
	for _, p := range parts {
		by[p.lock] = append(by[p.lock], p)
	}
	// What an earlier run of the same pipeline brought is history: only the newest run of
	// each pipeline counts.
	counts := map[int64]bool{0: true}
	for _, p := range by[LockBuild] {
		counts[p.run] = true
	}
	current := func(list []part) []part {
		return slices.DeleteFunc(slices.Clone(list), func(p part) bool { return !counts[p.run] })
	}
	tests, scans, signs := current(by[LockTest]), current(by[LockScan]), current(by[LockSign])
	held := gates(current(by[lockGate]), true)
	out := make([]Cell, 0, len(locks))
	for _, lock := range locks {
		c := Cell{Lock: lock, State: None}
		switch lock {
		case LockReview:
			reviewCell(&c, by[lock], direct)
		case LockPolicy:
			policyCell(&c, by[lock])
		case LockBuild:
			buildCell(&c, by[lock], tests, scans, slices.Concat(by[LockDeploy], held))
			gateCell(&c, gates(current(by[lockGate]), false))
		case LockTest:
			testCell(&c, tests)
		case LockScan:
			scanCell(&c, scans)
		case LockSign:
			signCell(&c, signs, by[LockBuild])
		case LockDeploy:
			deployCell(&c, by[lock])
			gateCell(&c, held)
		case LockHealth:
			healthCell(&c, by[lock])
		case LockBacklog:
			backlogCell(&c, by[lock])
		}
		out = append(out, c)
	}
	return out
}

// severity orders the states: of several parts the worst wins.
var severity = []State{None, Open, Passing, Held, Shut}

// worst puts the worst state of the parts into the cell, with time, actor and link of the
// newest part that is in it.
func (c *Cell) worst(parts []part, link func(part) event.Subject) {
	for _, p := range parts {
		if slices.Index(severity, p.body.State) > slices.Index(severity, c.State) {
			c.State = p.body.State
		}
	}
	for _, p := range parts {
		if p.body.State == c.State && !p.time.Before(c.Since) {
			c.Since, c.Who, c.Link = p.time, p.actor, link(p)
		}
	}
}

// buildCell follows the newest run of each pipeline. A run that failed because tests
// failed or a release did is no failed build: those cells say so.
func buildCell(c *Cell, runs, tests, images, releases []part) {
	if len(runs) == 0 {
		return
	}
	runs = slices.Clone(runs)
	for i, r := range runs {
		explained := slices.ContainsFunc(tests, func(p part) bool { return p.run == r.run && p.body.State == Shut }) ||
			slices.ContainsFunc(releases, func(p part) bool { return p.run == r.run && p.body.State == Shut })
		deploying := slices.ContainsFunc(releases, func(p part) bool { return p.run == r.run })
		if (r.body.State == Shut && explained) || (r.body.State == Passing && deploying) {
			runs[i].body.State = Open
		}
	}
	c.worst(runs, func(p part) event.Subject {
		if p.run == 0 {
			return ""
		}
		return event.OfRun(p.run)
	})
	newest := slices.MaxFunc(runs, func(a, b part) int { return cmp.Compare(a.seq, b.seq) })
	run := "run " + strconv.FormatInt(newest.run, 10)
	if newest.run == 0 {
		run = "no run"
	}
	switch {
	case c.State == Shut || c.State == Held:
		c.Fact, c.Detail = run, first1(runs, func(b body) string { return b.Why })
	case len(images) > 0:
		c.Fact, c.Detail = plural(len(images), "image"), strings.TrimSuffix(run+", "+seconds(newest.body.Seconds), ", ")
	default:
		c.Fact, c.Detail = run, seconds(newest.body.Seconds)
	}
}

// first1 returns the first value that is not empty.
func first1(parts []part, value func(body) string) string {
	for _, p := range parts {
		if v := value(p.body); v != "" {
			return v
		}
	}
	return ""
}

func testCell(c *Cell, tests []part) {
	if len(tests) == 0 {
		return
	}
	c.worst(tests, func(p part) event.Subject { return event.OfRun(p.run) })
	var b body
	for _, p := range tests {
		b.Total, b.Passed, b.Failed = b.Total+p.body.Total, b.Passed+p.body.Passed, b.Failed+p.body.Failed
	}
	c.Fact = fmt.Sprintf("%d of %d", b.Passed, b.Total)
	if b.Failed > 0 {
		c.Detail = fmt.Sprintf("%d failed", b.Failed)
	} else if b.Passed == 0 {
		c.Detail = "none ran"
	} else if skipped := b.Total - b.Passed; skipped > 0 {
		c.Detail = fmt.Sprintf("%d skipped", skipped)
	}
}

func scanCell(c *Cell, images []part) {
	if len(images) == 0 {
		return
	}
	c.worst(images, func(p part) event.Subject { return event.Of(event.KindImage, p.key) })
	var b body
	waiting := 0
	for _, p := range images {
		b.Critical, b.High, b.Medium, b.Packages = b.Critical+p.body.Critical, b.High+p.body.High, b.Medium+p.body.Medium, b.Packages+p.body.Packages
		b.NoData = b.NoData || p.body.NoData
		if p.body.State == Passing {
			waiting++
		}
	}
	c.Detail = plural(len(images), "image")
	switch {
	case b.Critical > 0:
		c.Fact = fmt.Sprintf("%d critical", b.Critical)
	case waiting > 0:
		c.Fact = fmt.Sprintf("%d of %d scanned", len(images)-waiting, len(images))
	case b.NoData:
		// A scan that knew nothing found nothing: it must not look like a clean one.
		c.State, c.Fact = None, "no advisory data"
	default:
		c.Fact = fmt.Sprintf("%d high", b.High)
		c.Detail += fmt.Sprintf(", SBOM %d", b.Packages)
	}
}

// signCell says which images are signed. One that is not when its run is over waits for
// somebody who looks why: signing takes seconds.
func signCell(c *Cell, images, runs []part) {
	if len(images) == 0 {
		return
	}
	over := map[int64]bool{}
	for _, r := range runs {
		over[r.run] = r.body.State != Passing
	}
	images = slices.Clone(images)
	for i, p := range images {
		if p.body.State == Passing && over[p.run] {
			images[i].body.State = Held
		}
	}
	c.worst(images, func(p part) event.Subject { return event.Of(event.KindImage, p.key) })
	signed, provenance, gone := 0, 0, 0
	for _, p := range images {
		if p.body.Gone {
			gone++
		}
		if p.body.Signed {
			signed++
		}
		if p.body.Provenance {
			provenance++
		}
	}
	c.Fact, c.Detail = "signed", plural(len(images), "image")
	if signed < len(images) {
		c.Fact = fmt.Sprintf("%d of %d signed", signed, len(images))
	}
	switch {
	case gone > 0:
		c.Fact, c.Detail = fmt.Sprintf("%d of %d deleted", gone, len(images)), "with its signature"
	case provenance == len(images):
		c.Detail += ", SLSA provenance"
	}
}

// deployCell shows the newest release in each environment.
func deployCell(c *Cell, releases []part) {
	newest := map[string]part{}
	for _, p := range releases {
		if old, ok := newest[p.body.Environment]; !ok || p.body.Number >= old.body.Number {
			newest[p.body.Environment] = p
		}
	}
	if len(newest) == 0 {
		return
	}
	var list []part
	for _, p := range newest {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b part) int { return cmp.Compare(a.seq, b.seq) })
	c.worst(list, func(p part) event.Subject { return event.Of(event.KindRelease, p.key) })
	shown := list[len(list)-1]
	for _, p := range list {
		if event.Of(event.KindRelease, p.key) == c.Link {
			shown = p
		}
	}
	// A cell is narrow: the number first, the environment's name on the second line.
	c.Fact = fmt.Sprintf("release %d", shown.body.Number)
	canary := slices.IndexFunc(list, func(p part) bool { return p.body.Weight > 0 })
	switch {
	case c.State == Shut:
		c.Detail = strings.TrimSuffix(shown.body.Name+": "+shown.body.Why, ": ")
	case canary >= 0:
		shown = list[canary]
		c.Link = event.Of(event.KindRelease, shown.key)
		c.Fact, c.Detail = fmt.Sprintf("%d %% canary", shown.body.Weight), shown.body.Environment+", "+shown.body.Name
		if c.State == Held && shown.body.Why != "" {
			c.Detail += ": " + shown.body.Why
		}
	case len(list) > 1:
		c.Detail = plural(len(list), "environment")
	default:
		c.Detail = strings.TrimSuffix(shown.body.Environment+", "+seconds(shown.body.Seconds), ", ")
	}
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}
