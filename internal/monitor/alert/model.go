package alert

import (
	"time"
)

// The kinds of rules.
const (
	Metric = "metric" // PromQL
	Query  = "query"  // the Kusto query language
)

// Where rules come from.
const (
	Recommended = "recommended" // with the platform
	Own         = "own"         // somebody made it
)

// Severities, the worst first.
const (
	Critical = "critical"
	Error    = "error"
	Warning  = "warning"
	Info     = "info"
)

// States of an alert, and of a rule in State.
const (
	Firing   = "firing"
	Resolved = "resolved"
	Pending  = "pending"  // of a rule: a condition holds, but not for long enough
	Inactive = "inactive" // of a rule: no condition holds
)

// Rule describes a condition.
type Rule struct {
	ID          string `json:"id" required:"false" doc:"empty makes a rule"`
	Project     string `json:"project" doc:"empty for a rule of the platform, which sees every project"`
	Name        string `json:"name"`
	Kind        string `json:"kind" enum:"metric,query"`
	Origin      string `json:"origin,omitempty" enum:"recommended,own"`
	Query       string `json:"query" doc:"PromQL, or text of the Kusto query language"`
	Severity    string `json:"severity,omitempty" enum:"critical,error,warning,info"`
	Enabled     bool   `json:"enabled"`
	Environment string `json:"environment,omitempty" doc:"given to alerts whose labels name no environment"`

	Summary     string            `json:"summary,omitempty" doc:"one line; a Prometheus template in a metric rule"`
	Description string            `json:"description,omitempty"`
	NextStep    string            `json:"next_step,omitempty" doc:"what to do first"`
	Labels      map[string]string `json:"labels,omitempty" doc:"put on every alert"`

	Every         Duration `json:"every" required:"false" doc:"how often it is evaluated"`
	For           Duration `json:"for,omitempty" doc:"metric: how long the condition holds before it fires"`
	KeepFiringFor Duration `json:"keep_firing_for,omitempty" doc:"metric: how long it fires after the condition ended"`

	Condition *Condition `json:"condition,omitempty" doc:"query: when a result counts as bad"`

	Correction string `json:"correction,omitempty" doc:"recommended: what differs from the rule that Azure ships, and why"`
	// Tuned lists the fields of a recommended rule that an administrator changed, with what
	// was shipped: {"for":"15m"}.
	Tuned map[string]string `json:"tuned,omitempty"`

	MutedUntil time.Time `json:"muted_until,omitzero" doc:"evaluated until then, but nothing fires"`
	Created    time.Time `json:"created" required:"false"`
	Changed    time.Time `json:"changed" required:"false"`
	By         string    `json:"by" required:"false"`
}

// Condition says when the result of a query rule is bad. Rows are grouped by the values of
// Dimensions; each group is judged by itself and is an alert of its own.
type Condition struct {
	Period      Duration `json:"period" required:"false" doc:"how far back the query looks"`
	Dimensions  []string `json:"dimensions,omitempty" doc:"columns; at most five"`
	Measure     string   `json:"measure,omitempty" doc:"a column of numbers; empty counts rows"`
	Aggregate   string   `json:"aggregate,omitempty" enum:"max,min,avg,sum" doc:"of the measure over the rows of a group; max"`
	Operator    string   `json:"operator,omitempty" enum:">,>=,<,<=,==,!="`
	Threshold   float64  `json:"threshold" required:"false"`
	Bad         int      `json:"bad" required:"false" doc:"this many bad evaluations …"`
	Of          int      `json:"of" required:"false" doc:"… of the last so many fire"`
	Mute        Duration `json:"mute,omitempty" doc:"after it fired, the same group does not fire again for so long"`
	AutoResolve bool     `json:"auto_resolve" doc:"resolves when no longer enough evaluations are bad; otherwise somebody closes it"`
}

// RuleState is a rule with how it is.
type RuleState struct {
	Rule
	State     string    `json:"state" enum:"inactive,pending,firing"`
	Firing    int       `json:"firing"`
	Pending   int       `json:"pending"`
	Evaluated time.Time `json:"evaluated,omitzero"`
	Took      float64   `json:"took_ms"`
	Error     string    `json:"error,omitempty" doc:"of the last evaluation"`
	Missed    int64     `json:"missed,omitempty" doc:"evaluations that fell into a time when the server was down or busy"`
}

// Alert is one thing for which a rule's condition holds or held.
type Alert struct {
	ID          string            `json:"id"`
	Fingerprint string            `json:"fingerprint" doc:"of rule and labels"`
	Rule        string            `json:"rule" doc:"id"`
	Name        string            `json:"name" doc:"of the rule"`
	Kind        string            `json:"kind" enum:"metric,query"`
	Query       string            `json:"query"`
	Project     string            `json:"project"`
	Environment string            `json:"environment,omitempty"`
	Release     string            `json:"release,omitempty" doc:"shop/production/48"`
	Severity    string            `json:"severity"`
	State       string            `json:"state" enum:"firing,resolved"`
	Fired       time.Time         `json:"fired"`
	Resolved    time.Time         `json:"resolved,omitzero"`
	Why         string            `json:"why,omitempty" doc:"why it resolved"`
	Seen        time.Time         `json:"seen" doc:"when the condition was last found to hold"`
	Value       float64           `json:"value" doc:"the last one"`
	Labels      map[string]string `json:"labels"`
	Summary     string            `json:"summary"`
	Description string            `json:"description,omitempty"`
	NextStep    string            `json:"next_step,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Pod         string            `json:"pod,omitempty"`
	PodUID      string            `json:"pod_uid,omitempty"`

	Acknowledged   time.Time `json:"acknowledged,omitzero"`
	AcknowledgedBy string    `json:"acknowledged_by,omitempty"`
	Note           string    `json:"note,omitempty"`
	SilencedBy     []string  `json:"silenced_by,omitempty" doc:"ids of silences"`
	Inhibited      bool      `json:"inhibited,omitempty" doc:"another alert keeps its notifications back"`
}

// Evaluation is one time that a rule was asked. Of metric rules only those are kept in
// which something was pending or firing, or that failed; of query rules every one.
type Evaluation struct {
	At     time.Time `json:"at"`
	Took   float64   `json:"took_ms"`
	State  string    `json:"state" enum:"inactive,pending,firing,muted,error"`
	Error  string    `json:"error,omitempty"`
	Values []Value   `json:"values,omitempty" doc:"at most a hundred and some KiB, the worst first; groups says how many there were"`
	Groups int       `json:"groups" doc:"how many values there were"`
}

// Value is what one evaluation found for one group or series.
type Value struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
	Bad    bool              `json:"bad"`
	State  string            `json:"state" enum:"inactive,pending,firing,muted"`
}

// Change is one thing that happened to an alert.
type Change struct {
	At   time.Time `json:"at"`
	What string    `json:"what" enum:"fired,resolved,acknowledged,closed"`
	By   string    `json:"by"`
	Note string    `json:"note,omitempty"`
}

// Detail is an alert with everything about it.
type Detail struct {
	Alert         Alert          `json:"alert"`
	Rule          *RuleState     `json:"rule,omitempty" doc:"missing when it was removed, or belongs to the platform and you may not read it"`
	History       []Change       `json:"history"`
	Evaluations   []Evaluation   `json:"evaluations" doc:"those about the time that it fired, newest first"`
	Notifications []Notification `json:"notifications"`
	Before        []Alert        `json:"before" doc:"the same alert, earlier"`
}

// Notification is one message to a receiver, with all its attempts.
type Notification struct {
	ID       string    `json:"id"`
	Project  string    `json:"project"`
	Receiver string    `json:"receiver"`
	Kind     string    `json:"kind"`
	State    string    `json:"state" enum:"sent,failed,retrying"`
	Reason   string    `json:"reason,omitempty" doc:"why it was sent: first notification, repeat interval elapsed, …"`
	Error    string    `json:"error,omitempty" doc:"of the last attempt"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Firing   int       `json:"firing"`
	Resolved int       `json:"resolved"`
	Alerts   []string  `json:"alerts" doc:"ids"`
	Item     string    `json:"item,omitempty" doc:"what a work item receiver opened"`
}

// Matcher selects by one label: Operator is =, !=, =~ or !~ with an anchored regular
// expression.
type Matcher struct {
	Label    string `json:"label"`
	Operator string `json:"operator" enum:"=,!=,=~,!~"`
	Value    string `json:"value"`
}

// Silence keeps notifications back. The silence of a project concerns its alerts only.
type Silence struct {
	ID       string    `json:"id" required:"false"`
	Project  string    `json:"project"`
	Matchers []Matcher `json:"matchers"`
	Starts   time.Time `json:"starts" required:"false" doc:"now"`
	Until    time.Time `json:"until"`
	Why      string    `json:"why"`
	By       string    `json:"by" required:"false"`
	State    string    `json:"state,omitempty" enum:"pending,active,expired"`
}

// The kinds of receivers.
const (
	Webhook = "webhook" // Alertmanager's JSON, version 4
	Mail    = "mail"    // SMTP
	Slack   = "slack"   // a Slack-compatible incoming webhook
	Item    = "item"    // a work item
)

// Receiver is where notifications go. Secrets go in and never come out: they are empty in
// every answer, and HasSecret says that there is one.
type Receiver struct {
	Project      string `json:"project" doc:"empty for the installation"`
	Name         string `json:"name"`
	Kind         string `json:"kind" enum:"webhook,mail,slack,item"`
	SendResolved bool   `json:"send_resolved" required:"false"`

	URL     string `json:"url,omitempty" doc:"webhook, slack: a secret; answers have its scheme and host only"`
	Token   string `json:"token,omitempty" doc:"webhook: sent as a bearer token; a secret"`
	Channel string `json:"channel,omitempty" doc:"slack: overrides the channel"`

	To         []string `json:"to,omitempty" doc:"mail: addresses"`
	From       string   `json:"from,omitempty"`
	Server     string   `json:"server,omitempty" doc:"mail: host:port of the SMTP server"`
	User       string   `json:"user,omitempty"`
	Password   string   `json:"password,omitempty" doc:"mail: a secret"`
	RequireTLS bool     `json:"require_tls,omitempty" doc:"mail: refuse a server without STARTTLS"`

	HasSecret bool      `json:"has_secret" required:"false"`
	Changed   time.Time `json:"changed" required:"false"`
	By        string    `json:"by" required:"false"`
}

// ReceiverState is a receiver with what became of its last notification.
type ReceiverState struct {
	Receiver
	Last *Notification `json:"last,omitempty"`
}

// Routes say which alerts of a project, or of the installation, go where. An alert goes to
// the first route that matches it, and to the following ones while Continue is set. Those
// of the installation and those of the alert's project both apply.
type Routes struct {
	Project     string       `json:"project"`
	Routes      []Route      `json:"routes"`
	Inhibitions []Inhibition `json:"inhibitions,omitempty"`
	Changed     time.Time    `json:"changed,omitzero"`
	By          string       `json:"by,omitempty"`
}

// Route sends alerts with certain labels (severity, environment, project, alertname, …) to
// a receiver of the same project.
type Route struct {
	Match          []Matcher `json:"match,omitempty"`
	Receiver       string    `json:"receiver"`
	GroupBy        []string  `json:"group_by,omitempty" doc:"labels; alertname, project and environment when empty"`
	GroupWait      Duration  `json:"group_wait,omitempty" doc:"before the first notification of a group; 10s"`
	GroupInterval  Duration  `json:"group_interval,omitempty" doc:"before the next one when the group changed; 1m"`
	RepeatInterval Duration  `json:"repeat_interval,omitempty" doc:"before the same again; 4h"`
	Continue       bool      `json:"continue,omitempty"`
}

// Inhibition keeps notifications of the target back while the source fires, when both have
// the same values of the labels in Equal.
type Inhibition struct {
	Source []Matcher `json:"source"`
	Target []Matcher `json:"target"`
	Equal  []string  `json:"equal,omitempty"`
}

// Filter selects alerts. Zero fields select everything that the actor may see.
type Filter struct {
	Project     string // "" is every project and the platform: administrators only
	Environment string
	Release     string
	Rule        string // id
	State       string // firing, resolved
	Severity    string
	Before      string // id: older ones than this
	Limit       int    // 100 when it is 0, at most 1,000
}

// Counts are open alerts of an environment.
type Counts struct {
	Critical int `json:"critical"`
	Error    int `json:"error"`
	Warning  int `json:"warning"`
	Info     int `json:"info"`
}

// Total returns their number.
func (c Counts) Total() int { return c.Critical + c.Error + c.Warning + c.Info }
