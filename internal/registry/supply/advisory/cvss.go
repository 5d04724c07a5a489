package advisory

import (
	"fmt"
	"math"
	"strings"
)

// Severity is the word for how bad an advisory is, by the CVSS qualitative scale.
type Severity string

// The severities. Unknown means that the source says nothing, not that it is harmless.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Unknown  Severity = "unknown"
)

// Rank orders severities: Critical is 4, Low is 1, Unknown is 0.
func (s Severity) Rank() int {
	switch s {
	case Critical:
		return 4
	case High:
		return 3
	case Medium:
		return 2
	case Low:
		return 1
	}
	return 0
}

// OfScore returns the word for a CVSS base score from 0.0 to 10.0, by table 14 of
// the CVSS v3.1 specification. A score of 0 is Unknown: "none" is not a finding's word.
func OfScore(score float64) Severity {
	switch {
	case score >= 9:
		return Critical
	case score >= 7:
		return High
	case score >= 4:
		return Medium
	case score > 0:
		return Low
	}
	return Unknown
}

// ofWord maps the words that databases use to ours.
func ofWord(word string) Severity {
	switch strings.ToLower(word) {
	case "critical":
		return Critical
	case "high", "important":
		return High
	case "medium", "moderate":
		return Medium
	case "low", "negligible", "minor":
		return Low
	}
	return Unknown
}

// metrics3 holds the weights of the CVSS v3 base metrics (section 7.4 of the
// specification). PR has two columns: scope unchanged and changed.
var metrics3 = map[string]map[string]float64{
	"AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
	"AC": {"L": 0.77, "H": 0.44},
	"PR": {"N": 0.85, "L": 0.62, "H": 0.27},
	"UI": {"N": 0.85, "R": 0.62},
	"S":  {"U": 0, "C": 1},
	"C":  {"H": 0.56, "L": 0.22, "N": 0},
	"I":  {"H": 0.56, "L": 0.22, "N": 0},
	"A":  {"H": 0.56, "L": 0.22, "N": 0},
}

// Score3 computes the base score of a CVSS v3.0 or v3.1 vector such as
// "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H". Temporal and environmental
// metrics are ignored. It refuses a vector that lacks or repeats a base metric.
func Score3(vector string) (float64, error) {
	rest, ok := strings.CutPrefix(vector, "CVSS:3.1/")
	if !ok {
		rest, ok = strings.CutPrefix(vector, "CVSS:3.0/")
	}
	if !ok || len(vector) > 256 {
		return 0, fmt.Errorf("not a CVSS v3 vector")
	}
	got := map[string]string{}
	for _, part := range strings.Split(rest, "/") {
		name, value, ok := strings.Cut(part, ":")
		if !ok {
			return 0, fmt.Errorf("metric %q has no value", part)
		}
		weights, base := metrics3[name]
		if !base {
			continue
		}
		if _, ok := weights[value]; !ok {
			return 0, fmt.Errorf("metric %s has no value %q", name, value)
		}
		if _, twice := got[name]; twice {
			return 0, fmt.Errorf("metric %s stands twice", name)
		}
		got[name] = value
	}
	if len(got) != len(metrics3) {
		return 0, fmt.Errorf("%d of %d base metrics", len(got), len(metrics3))
	}
	return base3(got), nil
}

func base3(got map[string]string) float64 {
	w := func(name string) float64 { return metrics3[name][got[name]] }
	changed := got["S"] == "C"
	pr := w("PR")
	if changed {
		// Section 7.4: privileges weigh more when the scope changes.
		switch got["PR"] {
		case "L":
			pr = 0.68
		case "H":
			pr = 0.5
		}
	}
	iss := 1 - (1-w("C"))*(1-w("I"))*(1-w("A"))
	impact := 6.42 * iss
	if changed {
		impact = 7.52*(iss-0.029) - 3.25*math.Pow(iss-0.02, 15)
	}
	if impact <= 0 {
		return 0
	}
	sum := impact + 8.22*w("AV")*w("AC")*pr*w("UI")
	if changed {
		sum *= 1.08
	}
	return roundUp(math.Min(sum, 10))
}

// roundUp is Roundup of appendix A of the specification: up to one decimal, in
// integers so that floating point noise does not add a tenth.
func roundUp(v float64) float64 {
	n := int(math.Round(v * 100000))
	if n%10000 == 0 {
		return float64(n) / 100000
	}
	return float64(n/10000+1) / 10
}
