package insight

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// The ends that controllers give to the names of their pods. Kubernetes draws random
// parts from an alphabet without vowels.
var (
	replicaEnd  = regexp.MustCompile(`-[bcdf-hj-np-tv-xz0-9]{6,10}-[bcdf-hj-np-tv-xz2-9]{5}$`)
	daemonEnd   = regexp.MustCompile(`-[bcdf-hj-np-tv-xz2-9]{5}$`)
	statefulEnd = regexp.MustCompile(`-[0-9]{1,5}$`)
)

// Workload returns the name of the workload behind a pod's, and of the workload that a
// canary or its baseline stands for.
func Workload(pod string) string {
	name := pod
	for _, end := range []*regexp.Regexp{replicaEnd, statefulEnd, daemonEnd} {
		if cut := end.ReplaceAllString(pod, ""); cut != pod && cut != "" {
			name = cut
			break
		}
	}
	for _, track := range []string{"-canary", "-baseline"} {
		if cut, ok := strings.CutSuffix(name, track); ok && cut != "" {
			return cut
		}
	}
	return name
}

// trouble names the rule that a pod's condition breaks, "" for none.
func trouble(p event.PodChanged) (rule, words string) {
	why := strings.ToLower(p.Why)
	switch {
	case p.Gone:
		return "", ""
	case strings.Contains(why, "oomkilled"), strings.Contains(why, "out of memory"), strings.Contains(why, "exit code 137"):
		return "oom", "is out of memory"
	case strings.Contains(why, "imagepull"), strings.Contains(why, "errimage"), strings.Contains(why, "invalidimagename"):
		return "image", "cannot pull its image"
	case strings.Contains(why, "crash"), strings.Contains(why, "runcontainererror"), strings.Contains(why, "createcontainer"):
		return "crash", "crashes again and again"
	}
	return "", ""
}

// podChanged makes a signal of a workload whose pods cannot run, and heals it when they do.
func (f *feed) podChanged(ctx context.Context, p event.PodChanged) error {
	environment := environmentOf(p.Release)
	workload := Workload(p.Name)
	if rule, words := trouble(p); rule != "" && !p.Ready {
		return f.observe(ctx, observation{
			source: SourceCrash, rule: rule, resource: environment + "/" + workload, environment: environment, release: p.Release, severity: "high",
			wait: f.s.options.Debounce, firing: p.UID,
			proof: Evidence{
				Subject: f.e.Subject, Text: clip(fmt.Sprintf("Pod %s: %s", p.Name, p.Why)), At: f.e.Time,
				Query: "ContainerLogV2\n| where PodName == " + quote(p.Name) + "\n| order by TimeGenerated desc\n| take 100",
			},
			Record: Record{Title: workload + " " + words + " in " + p.Release, Type: "bug", Workloads: named(workload), Exposure: exposure(environment)},
		})
	}
	if !p.Ready && !p.Gone {
		return nil // It starts.
	}
	rows, err := f.standing(ctx, environment, SourceCrash)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if !slices.Contains(r.Workloads, workload) {
			continue
		}
		loop := r.State == Candidate && r.Count > 1
		if loop && !p.Gone {
			continue // What crashed more than once is a loop, although it is ready between two crashes.
		}
		r.Firing = slices.DeleteFunc(r.Firing, func(uid string) bool { return uid == p.UID })
		why := fmt.Sprintf("%s is available: pod %s is ready.", workload, p.Name)
		if p.Gone {
			why = fmt.Sprintf("The pods of %s that could not run are gone.", workload)
		}
		if loop && len(r.Firing) == 0 {
			// Its item is still to be opened, and closes again when nothing else crashes.
			r.Healthy, r.Cure, r.Why = f.e.Time, p.Release, why
		}
		if loop || len(r.Firing) > 0 {
			r.seq = max(r.seq, f.e.Seq)
			err = put(ctx, f.tx, r)
		} else {
			err = f.well(ctx, r, f.s.options.CrashQuiet, p.Release, why)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// environmentOf returns the environment of a release, "shop/production/48".
func environmentOf(release string) string {
	_, rest, _ := strings.Cut(release, "/")
	environment, _, _ := strings.Cut(rest, "/")
	return environment
}

// passing lists the labels that name what comes and goes rather than what an alert is about.
func passing() []string {
	return []string{"pod", "pod_name", "pod_uid", "uid", "instance", "container_id", "id", "release", "replicaset", "pod_template_hash", "node", "track", "version", "endpoint"}
}

// groupKey writes an alert's labels without those that come and go, in order.
func groupKey(labels map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !slices.Contains(passing(), strings.ToLower(k)) {
			out = append(out, k+"="+labels[k])
		}
	}
	if pod := labels["pod"]; pod != "" {
		out = append(out, "workload="+Workload(pod))
	}
	return strings.Join(out, ",")
}

// alertWorkloads lists what an alert's labels name of a service.
func alertWorkloads(labels map[string]string) []string {
	var out []string
	for _, k := range []string{"service", "role", "AppRoleName", "service_name", "deployment", "statefulset", "daemonset", "workload", "app", "job"} {
		if v := labels[k]; v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	if pod := labels["pod"]; pod != "" {
		out = append(out, Workload(pod))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *feed) alertFired(ctx context.Context, p event.Alert) error {
	title := p.Rule
	if p.Summary != "" && p.Summary != p.Rule {
		title += ": " + clip(p.Summary)
	}
	return f.observe(ctx, observation{
		source: SourceAlert, rule: p.Rule, resource: p.Environment + "/" + groupKey(p.Labels), environment: p.Environment, release: p.Release,
		severity: alertSeverity(p.Severity), wait: f.s.options.Debounce, firing: p.Alert,
		proof:  Evidence{Subject: f.e.Subject, Text: clip("Alert " + p.Rule + " fired: " + cmp.Or(p.Summary, p.Rule)), Query: p.Query, At: f.e.Time},
		Record: Record{Title: title, Type: "bug", Workloads: alertWorkloads(p.Labels), Exposure: exposure(p.Environment)},
	})
}

// alertSeverity gives the word of a rule the word of an item.
func alertSeverity(s string) string {
	switch strings.ToLower(s) {
	case "critical", "high", "medium", "low":
		return strings.ToLower(s)
	case "page", "error":
		return "high"
	case "info", "none":
		return "low"
	}
	return "medium"
}

func (f *feed) alertResolved(ctx context.Context, p event.Alert) error {
	r, ok, err := locked(ctx, f.tx, f.e.Project, key(SourceAlert, p.Rule, p.Environment+"/"+groupKey(p.Labels)))
	if err != nil || !ok || r.seq >= f.e.Seq {
		return err
	}
	r.Firing = slices.DeleteFunc(r.Firing, func(id string) bool { return id == p.Alert })
	if len(r.Firing) > 0 {
		r.seq = f.e.Seq
		return put(ctx, f.tx, r)
	}
	return f.well(ctx, r, f.s.options.AlertQuiet, "", clip(fmt.Sprintf("Alert %s is resolved since %s: %s", p.Rule, moment(f.e.Time), p.Why)))
}
