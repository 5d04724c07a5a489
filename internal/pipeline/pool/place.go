package pool

import (
	"context"
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/store"
)

// Wish is what a job says about its agent, with its macros expanded.
type Wish struct {
	Project string
	Name    string
	VMImage string
	Demands []string
	// Containers says that the job runs in a container, or has services beside it.
	Containers bool
}

// Placement is where a job goes.
type Placement struct {
	Pool    Pool
	Demands []Demand
	// Notices are what the log of the job says about it.
	Notices []string
	// Refused is why the job cannot run; it is "" for a job that can.
	Refused string
}

// Place chooses the pool of a job. What cannot be is Refused, not an error.
func (s *Service) Place(ctx context.Context, h store.Handle, w Wish) (Placement, error) {
	var out Placement
	all, err := s.pools(ctx, h, `1 = 1`)
	if err != nil {
		return out, err
	}
	if !out.choose(all, w) {
		return out, nil
	}
	if list := out.Pool.Settings.Projects; len(list) > 0 && !contains(list, w.Project) {
		out.Refused = fmt.Sprintf("The agent pool %s does not serve the project %s", out.Pool.Name, w.Project)
		return out, nil
	}
	if out.Demands, err = ParseDemands(w.Demands); err != nil {
		out.Refused = err.Error()
		return out, nil
	}
	return out, s.unmet(ctx, h, &out)
}

func contains(list []string, name string) bool {
	for _, v := range list {
		if strings.EqualFold(v, name) {
			return true
		}
	}
	return false
}

// choose finds the pool by name or by vmImage; false when the job is refused.
func (p *Placement) choose(all []Pool, w Wish) bool {
	name, image := strings.TrimSpace(w.Name), strings.TrimSpace(w.VMImage)
	if hosted(name) {
		if image == "" {
			image = name
		}
		name = ""
	}
	pick := func(name string) bool {
		for _, c := range all {
			if Fold(c.Name) == Fold(name) {
				p.Pool = c
				return true
			}
		}
		return false
	}
	switch {
	case name != "":
		if !pick(name) {
			p.Refused = fmt.Sprintf("There is no agent pool %.100s; make it with: towpath pool create %q", name, name)
			return false
		}
	case image != "" && p.standing(all, image):
	default:
		pick(Default)
		if image != "" {
			p.Notices = append(p.Notices, fmt.Sprintf("There are no hosted agents here: %.100s is the pool %s. An administrator can map it: towpath pool edit POOL --vm-image %.100s", image, Default, image))
		}
	}
	if w.Containers && p.Pool.Kind == Host {
		from := p.Pool.Name
		if name != "" {
			p.Refused = fmt.Sprintf("The agents of pool %s are hosts, which have no containers; name a pool of kind kubernetes, such as %s", from, Containers)
			return false
		}
		pick(Containers)
		p.Notices = append(p.Notices, fmt.Sprintf("The job has containers: it runs in the pool %s.", Containers))
	}
	return true
}

// standing picks the pool that stands for a hosted image.
func (p *Placement) standing(all []Pool, image string) bool {
	for _, c := range all {
		if c.Settings.standsFor(image) {
			p.Pool = c
			return true
		}
	}
	return false
}

// maxNamed is how many agents a refusal names.
const maxNamed = 5

// unmet refuses demands that no agent of the pool meets. A pool without any agent is waited
// for: its first one may be about to come.
func (s *Service) unmet(ctx context.Context, h store.Handle, p *Placement) error {
	if len(p.Demands) == 0 {
		return nil
	}
	if p.Pool.Kind == Kubernetes {
		if lacks := podCapabilities.With(p.Pool.Settings.Capabilities).Lacks(p.Demands); len(lacks) > 0 {
			p.Refused = fmt.Sprintf("The agents of pool %s do not meet the demands of the job: they lack %s; say that its image has it: towpath pool edit %q --capability NAME=VALUE",
				p.Pool.Name, words(lacks), p.Pool.Name)
		}
		return nil
	}
	list, err := s.agents(ctx, h, `a.pool = ?`, Fold(p.Pool.Name))
	if err != nil || len(list) == 0 {
		return err
	}
	var why []string
	for _, a := range list {
		lacks := a.Capabilities.Lacks(p.Demands)
		switch {
		case len(lacks) > 0:
			why = append(why, a.Name+" lacks "+words(lacks))
		case !a.Enabled:
			why = append(why, a.Name+" is disabled")
		default:
			return nil
		}
	}
	more := ""
	if n := len(why) - maxNamed; n > 0 {
		why, more = why[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	p.Refused = fmt.Sprintf("No agent of pool %s meets the demands of the job (%s): %s%s", p.Pool.Name, words(p.Demands), strings.Join(why, "; "), more)
	return nil
}

// podCapabilities are those of every pod.
var podCapabilities = Capabilities{"Agent.OS": "Linux"}

func words(list []Demand) string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.String()
	}
	return strings.Join(out, ", ")
}

// Waits says for whom a job in the queue of a pool waits.
func (s *Service) Waits(ctx context.Context, folded, demands string) (string, error) {
	p, err := s.find(ctx, s.DB, folded)
	if fault.Is(err, fault.NotFound) {
		return "the agent pool " + folded + " is gone", nil
	}
	if err != nil {
		return "", err
	}
	if p.Kind == Kubernetes {
		return "for a pod of pool " + p.Name, nil
	}
	list, err := s.agents(ctx, s.DB, `a.pool = ?`, folded)
	if err != nil {
		return "", err
	}
	want := FromText(demands)
	var online, able int
	for _, a := range list {
		if len(a.Capabilities.Lacks(want)) > 0 || !a.Enabled {
			continue
		}
		able++
		if a.Online {
			online++
		}
	}
	switch {
	case len(list) == 0:
		return "pool " + p.Name + " has no agents yet", nil
	case able == 0:
		return "no enabled agent of pool " + p.Name + " meets its demands any more: " + words(want), nil
	case online == 0:
		return "the agents of pool " + p.Name + " that could run it are offline", nil
	}
	return "the agents of pool " + p.Name + " are busy", nil
}

// Closed reports whether a pool is there and closed to pipelines until somebody permits them.
func (s *Service) Closed(ctx context.Context, name string) (bool, error) {
	p, err := s.find(ctx, s.DB, name)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return p.Settings.Restricted, err
}
