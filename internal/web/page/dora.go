package page

import (
	"fmt"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/work/dora"
)

// DoraView is how a project delivers.
type DoraView struct {
	dora.Report
	Environments []string
	Filters      []Filter
}

// spanWords writes a length of time; a dash for none.
func spanWords(s float64) string {
	if s <= 0 {
		return "–"
	}
	return Took(time.Duration(s * float64(time.Second)))
}

func perDay(n dora.Numbers) string {
	switch {
	case n.Deployments == 0:
		return "–"
	case n.PerDay >= 1:
		return strconv.FormatFloat(n.PerDay, 'f', 1, 64) + " a day"
	}
	return strconv.FormatFloat(7*n.PerDay, 'f', 1, 64) + " a week"
}

// bucketBar is one bucket's column in the chart of a number.
type bucketBar struct {
	x, y, width, height float64
	title               string
}

// doraBars draws one number over the buckets, in a box of 320 by 64.
func doraBars(r dora.Report, value func(dora.Numbers) float64, words func(dora.Numbers) string) []bucketBar {
	most := 0.0
	for _, p := range r.Points {
		most = max(most, value(p.Numbers))
	}
	if most == 0 || len(r.Points) == 0 {
		return nil
	}
	step := 320 / float64(len(r.Points))
	out := make([]bucketBar, 0, len(r.Points))
	for i, p := range r.Points {
		h := 64 * value(p.Numbers) / most
		out = append(out, bucketBar{float64(i) * step, 64 - h, max(step-min(6, step/4), 0.5), h, Day(p.Start) + ": " + words(p.Numbers)})
	}
	return out
}

// doraCard is one of the four numbers.
type doraCard struct {
	name, value, what string
	bars              []bucketBar
}

func doraCards(r dora.Report) []doraCard {
	return []doraCard{
		{"Deployment frequency", perDay(r.Total), "successful deployments", doraBars(r, func(n dora.Numbers) float64 { return float64(n.Deployments) }, func(n dora.Numbers) string { return Plural(n.Deployments, "deployment", "deployments") })},
		{"Lead time for changes", spanWords(r.Total.Lead), "from commit to production, median", doraBars(r, func(n dora.Numbers) float64 { return n.Lead }, func(n dora.Numbers) string { return spanWords(n.Lead) })},
		{"Change failure rate", Percent(100 * r.Total.FailureRate), "incidents of deployments", doraBars(r, func(n dora.Numbers) float64 { return n.FailureRate }, func(n dora.Numbers) string { return Percent(100 * n.FailureRate) })},
		{"Time to restore", spanWords(r.Total.Restore), "an incident is open, median", doraBars(r, func(n dora.Numbers) float64 { return n.Restore }, func(n dora.Numbers) string { return spanWords(n.Restore) })},
	}
}

func unit(v float64) string { return fmt.Sprintf("%.1f", v) }
