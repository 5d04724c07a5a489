package pool

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Demand is a capability that a job asks for.
type Demand struct {
	Name string
	// Op is "" when having the capability is enough, "-equals" or "-gtVersion".
	Op    string
	Value string
}

// The comparisons of a demand, as the service writes them.
const (
	opEquals    = "-equals"
	opGTVersion = "-gtVersion"
)

// agentVersion is the capability that says how new the service's own agent must be; ours is
// not that agent, so that the demand says nothing about it.
const agentVersion = "agent.version"

// Bounds of what a job may demand and an agent may have.
const (
	maxDemands      = 50
	maxCapabilities = 300
	maxCapability   = 128 // bytes of a name
	maxValue        = 1024
)

// demandForm is "name", "name -equals value" or "name -gtVersion 1.2".
var demandForm = regexp.MustCompile(`^\s*(\S+)(?:\s+(-\S+)(?:\s+(.*?))?)?\s*$`)

// ParseDemand reads a demand as a pipeline writes it.
func ParseDemand(text string) (Demand, error) {
	m := demandForm.FindStringSubmatch(text)
	if m == nil || len(text) > maxCapability+maxValue {
		return Demand{}, fmt.Errorf("%.100q is no demand; write the name of a capability, or NAME -equals VALUE", text)
	}
	d := Demand{Name: m[1], Value: m[3]}
	switch {
	case m[2] == "":
		return d, nil
	case strings.EqualFold(m[2], opEquals):
		d.Op = opEquals
	case strings.EqualFold(m[2], opGTVersion):
		d.Op = opGTVersion
	default:
		return d, fmt.Errorf("the demand %.100q compares by %.40s; use -equals or -gtVersion", text, m[2])
	}
	if d.Value == "" {
		return d, fmt.Errorf("the demand %.100q compares with nothing; write %s %s VALUE", text, d.Name, d.Op)
	}
	return d, nil
}

// ParseDemands reads the demands of a job, drops repetitions and puts them into an order, so
// that equal lists have one text.
func ParseDemands(texts []string) ([]Demand, error) {
	if len(texts) > maxDemands {
		return nil, fmt.Errorf("a job has at most %d demands", maxDemands)
	}
	var out []Demand
	for _, t := range texts {
		if strings.TrimSpace(t) == "" {
			continue
		}
		d, err := ParseDemand(t)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Demand) int {
		return strings.Compare(strings.ToLower(a.String()), strings.ToLower(b.String()))
	})
	return out, nil
}

// String is the form that ParseDemand reads.
func (d Demand) String() string {
	if d.Op == "" {
		return d.Name
	}
	return d.Name + " " + d.Op + " " + d.Value
}

// Text is the one text of a list of demands, "" for none.
func Text(list []Demand) string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.String()
	}
	return strings.Join(out, "\n")
}

// FromText reads what Text wrote.
func FromText(text string) []Demand {
	if text == "" {
		return nil
	}
	// Text is ours: every line of it was a demand.
	list, _ := ParseDemands(strings.Split(text, "\n"))
	return list
}

// Capabilities are what an agent has; names compare without regard to case.
type Capabilities map[string]string

// Lookup returns a capability.
func (c Capabilities) Lookup(name string) (string, bool) {
	if v, ok := c[name]; ok {
		return v, true
	}
	for k, v := range c {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return "", false
}

// With lays other capabilities over these.
func (c Capabilities) With(over Capabilities) Capabilities {
	out := make(Capabilities, len(c)+len(over))
	maps.Copy(out, c)
	for name, v := range over {
		for k := range out {
			if strings.EqualFold(k, name) {
				delete(out, k)
			}
		}
		out[name] = v
	}
	return out
}

// Lacks returns the demands that the capabilities do not meet.
func (c Capabilities) Lacks(list []Demand) []Demand {
	var out []Demand
	for _, d := range list {
		if !c.meets(d) {
			out = append(out, d)
		}
	}
	return out
}

func (c Capabilities) meets(d Demand) bool {
	v, ok := c.Lookup(d.Name)
	return d.met(v, ok)
}

// met reports whether an agent meets the demand that has this value of what is demanded, or,
// with has false, none.
func (d Demand) met(v string, has bool) bool {
	switch d.Op {
	case opEquals:
		return has && strings.EqualFold(v, d.Value)
	case opGTVersion:
		return strings.EqualFold(d.Name, agentVersion) || has && newer(v, d.Value)
	}
	return has
}

// newer compares versions by their numbers, as far as both have some.
func newer(have, want string) bool {
	a, b := strings.Split(have, "."), strings.Split(want, ".")
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x, _ = strconv.Atoi(a[i]) // What is no number counts as 0.
		}
		if i < len(b) {
			y, _ = strconv.Atoi(b[i])
		}
		if x != y {
			return x > y
		}
	}
	return false
}

// capabilityName is what a capability may be called.
var capabilityName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.+-]*$`)

// check refuses capabilities that cannot be.
func (c Capabilities) check() error {
	if len(c) > maxCapabilities {
		return fmt.Errorf("at most %d capabilities", maxCapabilities)
	}
	for k, v := range c {
		if !capabilityName.MatchString(k) || len(k) > maxCapability {
			return fmt.Errorf("%.100q cannot be the name of a capability: letters, digits and . _ + -, at most %d", k, maxCapability)
		}
		if len(v) > maxValue || strings.ContainsAny(v, "\n\r\x00") {
			return fmt.Errorf("the value of the capability %s is one line of at most %d bytes", k, maxValue)
		}
	}
	return nil
}
