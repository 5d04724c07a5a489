package insight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
)

// The verdicts of operations that count.
const (
	worse   = "worse"
	unclear = "unclear"
)

// canaryStepped notes that a release is tried.
func (f *feed) canaryStepped(ctx context.Context, p event.Canary) error {
	_, err := f.tx.Exec(ctx, `INSERT INTO insight_trial (release_id, project, environment, stable, started, finished) VALUES (?,?,?,?,?,0)
		ON CONFLICT (release_id) DO UPDATE SET stable = excluded.stable`, p.Release, f.e.Project, p.Environment, p.Stable, ms(f.e.Time))
	if err != nil {
		return fmt.Errorf("noting the trial of %s: %w", p.Release, err)
	}
	return nil
}

// endTrial notes that a release is not tried any more, and lets go of what waited for it.
func (f *feed) endTrial(ctx context.Context, release string) error {
	if _, err := f.tx.Exec(ctx, `UPDATE insight_trial SET finished = ? WHERE release_id = ? AND finished = 0`, ms(f.e.Time), release); err != nil {
		return fmt.Errorf("noting the end of the trial of %s: %w", release, err)
	}
	f.tx.AfterCommit(f.s.poke)
	return nil
}

// canaryFinished makes a signal of each operation by which the analysis rejected a release,
// and heals what another one has mended.
func (f *feed) canaryFinished(ctx context.Context, p event.Canary) error {
	if err := f.canaryStepped(ctx, p); err != nil {
		return err
	}
	if err := f.endTrial(ctx, p.Release); err != nil {
		return err
	}
	switch {
	case p.State == "promoted":
		return f.cured(ctx, p.Release, p.Environment, p.Operations, fmt.Sprintf("The canary of release %s was promoted.", p.Release))
	case p.State != "rejected" || p.By != "":
		return nil // Somebody decided by other means, and knows why.
	}
	for _, o := range canaryFailures(p) {
		if err := f.observe(ctx, f.canarySignal(p, o)); err != nil {
			return err
		}
	}
	return nil
}

// canaryFailures lists what the canary failed with: its operations, or when none is known
// one for each service whose metric failed, or for the release.
func canaryFailures(p event.Canary) []event.Operation {
	var out []event.Operation
	for _, o := range p.Operations {
		if o.Verdict == worse || o.Verdict == "failure" {
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		for _, m := range p.Metrics {
			if m.Verdict == "failure" && !slices.ContainsFunc(out, func(o event.Operation) bool { return o.Role == m.Service }) {
				out = append(out, metricOperation(m))
			}
		}
	}
	if len(out) == 0 {
		out = []event.Operation{{}}
	}
	return out
}

// metricOperation says as an operation what a metric of a whole service says.
func metricOperation(m event.CanaryMetric) event.Operation {
	o := event.Operation{Role: m.Service, Requests: m.Samples, P: m.P, Verdict: worse}
	switch m.Name {
	case "error-rate":
		o.FailureShare, o.FailureBefore = m.Canary, m.Baseline
	case "latency-p95":
		o.P95, o.P95Before = m.Canary, m.Baseline
	}
	return o
}

func (f *feed) canarySignal(p event.Canary, o event.Operation) observation {
	title := "canary of " + p.Release + " was rejected"
	if o.Role != "" {
		title = operationTitle(o) + " since " + p.Release
	}
	for _, m := range p.Metrics {
		if o.Name == "" && o.Role == m.Service && (m.Name == "restarts" || m.Name == "oom") && m.Verdict == "failure" {
			title = fmt.Sprintf("%s: %s in %s", m.Service, map[string]string{"restarts": "containers restart", "oom": "out of memory"}[m.Name], p.Release)
		}
	}
	text := fmt.Sprintf("Canary of %s at %d %% was rejected: %s", p.Release, p.Weight, cmp.Or(p.Why, "the analysis failed"))
	return observation{
		source: SourceCanary, rule: "rejected", resource: p.Environment + "/" + o.Role + "/" + o.Name, environment: p.Environment, release: p.Release,
		severity: severityOf(o), proof: Evidence{Subject: f.e.Subject, Text: clip(text), Query: operationQuery(p.Release, o), At: f.e.Time},
		Record: Record{Title: title, Type: "bug", Stable: p.Stable, Workloads: named(o.Role), Operations: named(o), Exposure: exposure(p.Environment)},
	}
}

// releaseCompared makes a signal of each operation that a release does worse.
func (f *feed) releaseCompared(ctx context.Context, p event.ReleaseCompared) error {
	if p.Verdict == unclear || p.Verdict == "" {
		return nil
	}
	for _, o := range p.Operations {
		if o.Verdict != worse || p.Verdict != worse {
			continue
		}
		err := f.observe(ctx, observation{
			source: SourceRegression, rule: worse, resource: p.Environment + "/" + o.Role + "/" + o.Name, environment: p.Environment, release: p.Release,
			severity: severityOf(o),
			proof: Evidence{
				Subject: f.e.Subject, Text: clip(fmt.Sprintf("Release %s does worse than %s: %s", p.Release, p.Baseline, operationTitle(o))),
				Query: operationQuery(p.Release, o), At: f.e.Time,
			},
			Record: Record{
				Title: operationTitle(o) + " since " + p.Release, Type: "bug", Stable: p.Baseline, Workloads: named(o.Role), Operations: []event.Operation{o},
				Exposure: exposure(p.Environment),
			},
		})
		if err != nil {
			return err
		}
	}
	return f.cured(ctx, p.Release, p.Environment, p.Operations, fmt.Sprintf("Release %s was compared with %s: %s.", p.Release, p.Baseline, p.Verdict))
}

// cured heals the regressions of an environment that a later release does not show. Whether
// it holds a mend, and is not merely the old state again, Settle finds out.
func (f *feed) cured(ctx context.Context, release, environment string, operations []event.Operation, why string) error {
	rows, err := f.standing(ctx, environment, SourceCanary, SourceRegression)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if numberOf(release) <= numberOf(r.Release) || stillWorse(r, operations) {
			continue
		}
		said := why
		for _, o := range r.Operations {
			said += " " + operationNow(o, operations)
		}
		if err := f.well(ctx, r, 0, release, said); err != nil {
			return err
		}
	}
	return nil
}

// stillWorse reports whether an operation of the signal is among those that are worse.
func stillWorse(r row, operations []event.Operation) bool {
	return slices.ContainsFunc(operations, func(o event.Operation) bool {
		if o.Verdict != worse && o.Verdict != "failure" {
			return false
		}
		return len(r.Operations) == 0 || slices.ContainsFunc(r.Operations, func(was event.Operation) bool {
			return was.Role == o.Role && (was.Name == o.Name || was.Name == "" || o.Name == "")
		})
	})
}

// operationNow says how an operation does now.
func operationNow(was event.Operation, now []event.Operation) string {
	name := strings.TrimSpace(was.Role + " " + was.Name)
	for _, o := range now {
		if o.Role == was.Role && o.Name == was.Name {
			return fmt.Sprintf("%s: %s of requests fail, p95 %.0f ms.", name, percent(o.FailureShare), o.P95)
		}
	}
	return name + " is not worse than before."
}

// releaseFinished lets errors be absent for a release, and admission be granted.
func (f *feed) releaseFinished(ctx context.Context, p event.Release) error {
	if err := f.endTrial(ctx, p.Release); err != nil {
		return err
	}
	if p.Result != "deployed" {
		return nil
	}
	rows, err := f.standing(ctx, p.Environment, SourceError, SourcePolicy, SourceAdmission)
	if err != nil {
		return err
	}
	for _, r := range rows {
		quiet, why := f.s.options.ErrorQuiet, "Release "+p.Release+" serves since "+moment(f.e.Time)+"."
		if r.Source != SourceError {
			quiet, why = f.s.options.PolicyQuiet, "Release "+p.Release+" was admitted."
		} else if r.Release != "" && numberOf(p.Release) <= numberOf(r.Release) {
			continue
		}
		if err := f.well(ctx, r, quiet, p.Release, why); err != nil {
			return err
		}
	}
	return f.imagesChanged(ctx, p.Images)
}

// errorFound makes a signal of a group of errors.
func (f *feed) errorFound(ctx context.Context, p event.ErrorFound) error {
	title := strings.TrimSpace(p.Role + ": " + p.Type)
	if p.Message != "" {
		title += ": " + clip(p.Message)
	}
	came := "came with " + p.Release
	if p.Again {
		came = "came back with " + p.Release
	}
	trace := f.e.Trace
	return f.observe(ctx, observation{
		source: SourceError, rule: p.Group, resource: cmp.Or(p.Role, "-"), environment: p.Environment, release: p.Release, severity: "medium", wait: f.s.options.Debounce,
		proof: Evidence{
			Subject: f.e.Subject, Text: clip(fmt.Sprintf("%s %s: %s", p.Type, came, p.Message)), Query: "AppExceptions\n| where ProblemId == " + quote(p.Group) +
				"\n| order by TimeGenerated desc", Trace: trace, At: f.e.Time,
		},
		Record: Record{Title: title, Type: "bug", Workloads: named(p.Role), Exposure: exposure(p.Environment)},
	})
}

// operationTitle says in a line what is wrong with an operation.
func operationTitle(o event.Operation) string {
	name := o.Role
	if o.Name != "" {
		name += " " + o.Name
	}
	switch {
	case o.FailureShare > o.FailureBefore:
		return fmt.Sprintf("%s: %s of requests fail", name, percent(o.FailureShare))
	case o.P95 > o.P95Before:
		return fmt.Sprintf("%s: p95 of %.0f ms (was %.0f ms)", name, o.P95, o.P95Before)
	}
	return name + ": does worse"
}

// severityOf rates a regression by what it does to who asks.
func severityOf(o event.Operation) string {
	if o.FailureShare-o.FailureBefore >= 0.25 {
		return "critical"
	}
	return "high"
}

// exposure rates who sees an environment.
func exposure(environment string) int {
	if environment == "production" || strings.HasPrefix(environment, "prod") {
		return 10
	}
	return 3
}

// operationQuery is the KQL that shows what an operation of a release did.
func operationQuery(release string, o event.Operation) string {
	q := "AppRequests\n| where Release == " + quote(release)
	if o.Role != "" {
		q += " and AppRoleName == " + quote(o.Role)
	}
	if o.Name != "" {
		q += " and Name == " + quote(o.Name)
	}
	return q + "\n| summarize Requests = sum(ItemCount), Failed = sumif(ItemCount, Success == false), P95 = percentile(DurationMs, 95) by bin(TimeGenerated, 1m)"
}

// quote writes a text as a string of KQL.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// named is a list of one thing, of none when it is the zero value.
func named[T comparable](v T) []T {
	var zero T
	if v == zero {
		return nil
	}
	return []T{v}
}
