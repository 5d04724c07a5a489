package page

import (
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/cluster"
	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/evidence"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/insight"
)

// Agent is a job runner as the status page shows it.
type Agent struct {
	Name, System, Version, Busy, Word string
	State                             State
	Seen                              time.Time
}

func (s Shell) tokenEnd(t identity.Token) string {
	switch {
	case t.Expires.IsZero():
		return "never"
	case t.Expires.Before(s.Now):
		return "has ended"
	}
	return t.Expires.UTC().Format("2006-01-02")
}

func clusterState(c cluster.Status) State {
	if c.Kind == cluster.KindNone {
		return Wait
	}
	return componentState(c.State)
}

func componentState(s string) State {
	switch s {
	case cluster.Ready, "running", "ok":
		return Open
	case cluster.Starting:
		return Passing
	case cluster.Degraded:
		return Held
	case cluster.Stopped:
		return Wait
	}
	return Shut
}

// kindWord is a station's kind as a heading.
func kindWord(kind string) string {
	switch kind {
	case event.KindSBOM:
		return "SBOM"
	case event.KindPull:
		return "Pull request"
	case "":
		return ""
	}
	return strings.ToUpper(kind[:1]) + kind[1:]
}

// fact returns a station's fact by name.
func fact(st evidence.Station, name string) string {
	for _, f := range st.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// stationState is how a station stands, as its facts tell.
func stationState(st evidence.Station) State {
	switch v := fact(st, "result") + fact(st, "state"); v {
	case "failed", "canceled", "rolled-back", "not ready":
		return Shut
	case "queued", "running", "started":
		return Passing
	case "firing":
		return Shut
	case "closed":
		return Shut
	case "open":
		return Passing
	case "draft":
		return Held
	}
	switch fact(st, "verdict") {
	case "refused", "changes-requested":
		return Shut
	}
	if fact(st, "failed") != "" {
		return Shut
	}
	if st.Kind == kindComparison {
		// Its title begins with the verdict.
		switch verdict, _, _ := strings.Cut(st.Title, " "); verdict {
		case insight.Worse:
			return Shut
		case "not":
			return Wait
		}
	}
	return Open
}

// Kinds of stations that package evidence makes without a subject of their own.
const (
	kindTelemetry  = "telemetry"
	kindComparison = "comparison"
)

// signalOf is what kind of telemetry a station tells of: logs or traces.
func signalOf(st evidence.Station) string {
	signal, _, _ := strings.Cut(st.Title, " ")
	return signal
}

// stationHref is the page of the evidence itself, "" when it has none of its own.
func stationHref(s Shell, st evidence.Station) string {
	id := st.Subject.ID()
	switch st.Kind {
	case event.KindCommit:
		if repo := fact(st, "repository"); repo != "" {
			return commitHref(s, repo, id)
		}
	case event.KindRun:
		return s.At("/runs/" + id)
	case "tests":
		return s.At("/runs/" + id + "?tab=tests")
	case event.KindImage:
		repository, _, _ := strings.Cut(st.Title, ":")
		return ImageHref(s, repository, id)
	case event.KindRelease:
		if p := strings.Split(id, "/"); len(p) == 3 {
			return s.At("/environments/" + Esc(p[1]) + "/releases/" + p[2])
		}
	case event.KindPull, "review", "merge":
		if p := strings.Split(id, "/"); len(p) == 3 {
			return s.At("/pulls/" + Esc(p[1]) + "/" + p[2])
		}
	case event.KindDecision:
		return s.Pol("/decisions/" + Esc(id))
	case event.KindAlert:
		return s.At("/monitor/alerts/" + Esc(id))
	case kindTelemetry:
		return s.telemetryHref(id, signalOf(st))
	case kindComparison:
		return s.releaseHref(id) + "#comparison"
	}
	return ""
}

// Line reduces a chain to one station of a kind, the first, with how many more there
// are: what fits into one line.
func Line(s Shell, c evidence.Chain) []Station {
	var out []Station
	count := map[string]int{}
	at := map[string]int{}
	image := ""
	for _, st := range c.Stations {
		count[st.Kind]++
		i, seen := at[st.Kind]
		if seen {
			if state := stationState(st); state == Shut {
				out[i].State = Shut
			}
			continue
		}
		at[st.Kind] = len(out)
		short, id := st.Digest, st.Digest
		if id == "" {
			id = st.Subject.ID()
			short = id
		}
		href := stationHref(s, st)
		if st.Kind == event.KindImage {
			image = href
		}
		if href == "" {
			href = evidenceTab(image, st.Kind)
		}
		if href == "" && st.Kind == event.KindPod {
			href = s.At("/trace/pod/" + Esc(st.Subject.ID()))
		}
		out = append(out, Station{
			Kind: kindWord(st.Kind), ID: id, Short: lineShort(st, short), Note: lineNote(st), State: stationState(st), Href: href,
			When: st.Time, Actor: st.Actor, Seq: st.Seq, Hash: st.Hash,
		})
	}
	for kind, i := range at {
		if n := count[kind]; n > 1 {
			out[i].Kind = strconv.Itoa(n) + " " + pluralOf(kind, strings.ToLower(out[i].Kind))
			if kind == event.KindSBOM {
				out[i].Kind = strconv.Itoa(n) + " SBOMs"
			}
		}
	}
	return out
}

// pluralOf is the word of a kind for several of them.
func pluralOf(kind, word string) string {
	switch {
	case strings.HasSuffix(word, "s") || kind == event.KindProvenance || kind == kindTelemetry:
		return word
	case strings.HasSuffix(word, "y") && !strings.ContainsRune("aeiou", rune(word[max(len(word)-2, 0)])):
		return strings.TrimSuffix(word, "y") + "ies"
	}
	return word + "s"
}

// evidenceTab is the tab of the image's page that shows what describes it.
func evidenceTab(image, kind string) string {
	if image == "" {
		return ""
	}
	switch kind {
	case event.KindSBOM:
		return image + "?tab=packages"
	case event.KindScan:
		return image + "?tab=findings"
	case event.KindSignature, event.KindProvenance:
		return image
	}
	return ""
}

func lineShort(st evidence.Station, id string) string {
	switch st.Kind {
	case event.KindRun:
		return "run " + st.Subject.ID()
	case event.KindPull:
		return "pull/" + st.Subject.ID()[strings.LastIndexByte(st.Subject.ID(), '/')+1:]
	case event.KindDecision:
		return "d/" + strings.ToLower(st.Subject.ID()[max(0, len(st.Subject.ID())-5):])
	case event.KindRelease:
		if p := strings.Split(st.Subject.ID(), "/"); len(p) == 3 {
			return p[1] + "/" + p[2]
		}
	case event.KindPod:
		return Short(st.Title)
	case event.KindAlert, kindComparison:
		return fitted(st.Title, 18)
	case kindTelemetry:
		return signalOf(st)
	}
	return Short(id)
}

// lineNote is the one fact of a station that people look for.
func lineNote(st evidence.Station) string {
	switch st.Kind {
	case event.KindDecision, "review":
		return st.Title
	case "merge":
		return fact(st, "method")
	case kindTelemetry:
		return "after " + fact(st, "first after")
	case kindComparison:
		return fact(st, "why")
	case event.KindAlert:
		return fact(st, "state")
	}
	for _, name := range []string{"author", "passed", "packages", "took", "size", "state", "result"} {
		if v := fact(st, name); v != "" {
			switch name {
			case "passed":
				return v + " passed"
			case "packages":
				return v + " packages"
			}
			return v
		}
	}
	if st.Kind == event.KindScan {
		return st.Title
	}
	return ""
}
