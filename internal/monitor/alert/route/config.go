package route

import (
	"time"

	"github.com/prometheus/alertmanager/config"
	amcommon "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/pkg/labels"
	"github.com/prometheus/common/model"

	"towpath.dev/towpath/internal/fault"
)

// The kinds of receivers.
const (
	Webhook = "webhook"
	Mail    = "mail"
	Slack   = "slack"
	Item    = "item"
)

// Default times of a route.
const (
	DefaultGroupWait      = 10 * time.Second
	DefaultGroupInterval  = time.Minute
	DefaultRepeatInterval = 4 * time.Hour
)

// Matcher selects by a label. Operator is =, !=, =~ or !~.
type Matcher struct{ Label, Operator, Value string }

// Receiver is where notifications go.
type Receiver struct {
	Project      string // "" is the installation
	Name         string
	Kind         string
	SendResolved bool

	URL     string // webhook, slack; secret
	Token   string // webhook; secret
	Channel string // slack

	To         []string
	From       string
	Server     string // host:port
	User       string
	Password   string // secret
	RequireTLS bool
}

// key names a receiver in Alertmanager's configuration. A project has no "/" in its name.
func key(project, name string) string { return project + "/" + name }

// Route sends what matches to a receiver of the tree's project.
type Route struct {
	Match          []Matcher
	Receiver       string
	GroupBy        []string
	GroupWait      time.Duration
	GroupInterval  time.Duration
	RepeatInterval time.Duration
	Continue       bool
}

// Inhibition keeps the target back while the source fires.
type Inhibition struct {
	Source, Target []Matcher
	Equal          []string
}

// Tree is the routes of a project, "" for the installation.
type Tree struct {
	Project     string
	Routes      []Route
	Inhibitions []Inhibition
}

// Config is everything that a Router is told.
type Config struct {
	Receivers []Receiver
	Trees     []Tree
}

// nowhere is the receiver of alerts that no route matches: they stand on pages only.
const nowhere = "nowhere"

// Check says what is wrong with matchers; nil when nothing is.
func Check(ms []Matcher) error {
	_, err := matchers(ms)
	return err
}

func matchers(ms []Matcher) (labels.Matchers, error) {
	var out labels.Matchers
	for _, m := range ms {
		var t labels.MatchType
		switch m.Operator {
		case "=":
			t = labels.MatchEqual
		case "!=":
			t = labels.MatchNotEqual
		case "=~":
			t = labels.MatchRegexp
		case "!~":
			t = labels.MatchNotRegexp
		default:
			return nil, fault.New(fault.Invalid, "%q is not an operator of a matcher.", m.Operator).WithNext("use =, !=, =~ or !~")
		}
		if !model.LabelName(m.Label).IsValidLegacy() {
			return nil, fault.New(fault.Invalid, "%q is not the name of a label.", m.Label).WithNext("use letters, digits and _, as in severity or namespace")
		}
		if len(m.Value) > 1024 {
			return nil, fault.New(fault.TooLarge, "The value of matcher %s is longer than 1,024 bytes.", m.Label)
		}
		x, err := labels.NewMatcher(t, m.Label, m.Value)
		if err != nil {
			return nil, fault.New(fault.Invalid, "Matcher %s%s%q cannot be used: %v.", m.Label, m.Operator, m.Value, err).WithNext("correct the regular expression")
		}
		out = append(out, x)
	}
	return out, nil
}

// within adds the project to matchers.
func within(project string, ms []Matcher) []Matcher {
	if project == "" {
		return ms
	}
	return append([]Matcher{{"project", "=", project}}, ms...)
}

// build turns the configuration into Alertmanager's.
func (c Config) build() (*config.Route, []amcommon.InhibitRule, error) {
	root := &config.Route{
		Receiver: nowhere, GroupBy: []model.LabelName{"alertname", "project", "environment"},
		GroupWait: duration(DefaultGroupWait), GroupInterval: duration(DefaultGroupInterval), RepeatInterval: duration(DefaultRepeatInterval),
	}
	var inhibit []amcommon.InhibitRule
	known := map[string]bool{}
	for _, r := range c.Receivers {
		known[key(r.Project, r.Name)] = true
	}
	for _, t := range c.Trees {
		own, err := matchers(within(t.Project, nil))
		if err != nil {
			return nil, nil, err
		}
		branch := &config.Route{Receiver: nowhere, Matchers: amcommon.Matchers(own), Continue: true}
		for _, r := range t.Routes {
			if !known[key(t.Project, r.Receiver)] {
				return nil, nil, fault.New(fault.Invalid, "There is no receiver %q.", r.Receiver).WithNext("make the receiver first, or name another one")
			}
			leaf, err := r.build(t.Project)
			if err != nil {
				return nil, nil, err
			}
			branch.Routes = append(branch.Routes, leaf)
		}
		root.Routes = append(root.Routes, branch)
		for _, i := range t.Inhibitions {
			rule, err := i.build(t.Project)
			if err != nil {
				return nil, nil, err
			}
			inhibit = append(inhibit, rule)
		}
	}
	return root, inhibit, nil
}

func (r Route) build(project string) (*config.Route, error) {
	ms, err := matchers(r.Match)
	if err != nil {
		return nil, err
	}
	out := &config.Route{Receiver: key(project, r.Receiver), Matchers: amcommon.Matchers(ms), Continue: r.Continue}
	for _, l := range r.GroupBy {
		if !model.LabelName(l).IsValidLegacy() {
			return nil, fault.New(fault.Invalid, "%q is not the name of a label.", l)
		}
		out.GroupBy = append(out.GroupBy, model.LabelName(l))
	}
	for _, d := range []struct {
		to    **model.Duration
		value time.Duration
	}{{&out.GroupWait, r.GroupWait}, {&out.GroupInterval, r.GroupInterval}, {&out.RepeatInterval, r.RepeatInterval}} {
		if d.value < 0 {
			return nil, fault.New(fault.Invalid, "A time of the route to %s is negative.", r.Receiver)
		}
		if d.value > 0 {
			*d.to = duration(d.value)
		}
	}
	return out, nil
}

func (i Inhibition) build(project string) (amcommon.InhibitRule, error) {
	source, err := matchers(within(project, i.Source))
	if err != nil {
		return amcommon.InhibitRule{}, err
	}
	target, err := matchers(within(project, i.Target))
	if err != nil {
		return amcommon.InhibitRule{}, err
	}
	return amcommon.InhibitRule{SourceMatchers: amcommon.Matchers(source), TargetMatchers: amcommon.Matchers(target), Equal: i.Equal}, nil
}

func duration(d time.Duration) *model.Duration {
	out := model.Duration(d)
	return &out
}

// Check says what is wrong with a configuration; nil when nothing is.
func (c Config) Check() error {
	_, _, err := c.build()
	return err
}
