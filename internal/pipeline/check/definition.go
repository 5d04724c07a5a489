package check

import (
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Type is what a check asks for.
type Type string

// The types of checks.
const (
	Approval         Type = "approval"         // somebody says yes (C001)
	BranchControl    Type = "branchControl"    // the branches that a run is made of (C003)
	RequiredTemplate Type = "requiredTemplate" // what the pipeline extends (C004)
	EvaluateArtifact Type = "evaluateArtifact" // what is known of the run's images (C005)
	BusinessHours    Type = "businessHours"    // the time of the day (C006)
	REST             Type = "rest"             // what an address answers (C007)
	Alerts           Type = "alerts"           // what fires (C009)
	ExclusiveLock    Type = "exclusiveLock"    // one run at a time (C010)
	// Permission is no check that anybody adds: it stands at the gate of a pipeline that
	// has not been permitted to use the resource (C012).
	Permission Type = "permission"
)

// types are those that a person may add.
var types = []Type{Approval, BranchControl, RequiredTemplate, EvaluateArtifact, BusinessHours, REST, Alerts, ExclusiveLock}

// DefaultTimeout is how many minutes a check waits when its owner says nothing: 30 days
// (C013).
const DefaultTimeout = 43200

// Definition is a check on a resource, as its owner set it. Exactly the rule of its type is
// set; an exclusive lock has none.
type Definition struct {
	ID       string   `json:"id,omitempty"` // chosen by the service
	Resource Resource `json:"resource"`
	Type     Type     `json:"type"`
	Title    string   `json:"title,omitempty"` // for people; "" gives the name of the type
	// TimeoutMinutes is how long the check waits before the stage is skipped, from the time
	// at which its class begins; 0 means DefaultTimeout.
	TimeoutMinutes int `json:"timeoutMinutes,omitempty"`

	Approval *ApprovalRule `json:"approval,omitempty"`
	Branches *BranchRule   `json:"branchControl,omitempty"`
	Template *TemplateRule `json:"requiredTemplate,omitempty"`
	Artifact *ArtifactRule `json:"evaluateArtifact,omitempty"`
	Hours    *HoursRule    `json:"businessHours,omitempty"`
	REST     *RESTRule     `json:"rest,omitempty"`
	Alerts   *AlertRule    `json:"alerts,omitempty"`

	Changed time.Time `json:"changed,omitzero"`
	By      string    `json:"by,omitempty"` // who changed it last, "user:ada"
}

// Limits of a definition.
const (
	maxChecks = 50  // of a resource
	maxList   = 50  // approvers, branches, templates
	maxTitle  = 100 // bytes
	maxText   = 4000
)

// rule is what the types have in common.
type rule interface {
	// check refuses a rule that cannot be meant.
	check() error
}

// rule returns the rule of the definition's type, nil for none, and how many are set.
func (d *Definition) rule() (r rule, set int) {
	note := func(t Type, there bool, value rule) {
		if there {
			set++
			if d.Type == t {
				r = value
			}
		}
	}
	note(Approval, d.Approval != nil, d.Approval)
	note(BranchControl, d.Branches != nil, d.Branches)
	note(RequiredTemplate, d.Template != nil, d.Template)
	note(EvaluateArtifact, d.Artifact != nil, d.Artifact)
	note(BusinessHours, d.Hours != nil, d.Hours)
	note(REST, d.REST != nil, d.REST)
	note(Alerts, d.Alerts != nil, d.Alerts)
	return r, set
}

// Check refuses a definition that cannot be meant.
func (d *Definition) Check() error {
	if err := d.Resource.Check(); err != nil {
		return err
	}
	if !slices.Contains(types, d.Type) {
		return fault.New(fault.Invalid, "%q is no type of check.", clip(string(d.Type))).
			WithNext("use approval, branchControl, requiredTemplate, evaluateArtifact, businessHours, rest, alerts or exclusiveLock")
	}
	if len(d.Title) > maxTitle || strings.ContainsFunc(d.Title, unprintable) {
		return fault.New(fault.Invalid, "The title of a check has at most %d bytes on one line.", maxTitle)
	}
	if d.TimeoutMinutes < 0 || d.TimeoutMinutes > DefaultTimeout {
		return fault.New(fault.Invalid, "A check waits 1 to %d minutes (30 days), not %d.", DefaultTimeout, d.TimeoutMinutes)
	}
	r, set := d.rule()
	if d.Type == ExclusiveLock {
		if set > 0 {
			return fault.New(fault.Invalid, "An exclusive lock has no rule.")
		}
		return nil
	}
	if r == nil || set != 1 {
		return fault.New(fault.Invalid, "A check of the type %s needs %q, and no other rule.", d.Type, string(d.Type))
	}
	return r.check()
}

// Timeout is how long the check waits.
func (d *Definition) Timeout() time.Duration {
	if d.TimeoutMinutes == 0 {
		return DefaultTimeout * time.Minute
	}
	return time.Duration(d.TimeoutMinutes) * time.Minute
}

// Name is the title, or the name of the type.
func (d *Definition) Name() string {
	if d.Title != "" {
		return d.Title
	}
	return map[Type]string{
		Approval: "Approval", BranchControl: "Branch control", RequiredTemplate: "Required template", EvaluateArtifact: "Evaluate artifact",
		BusinessHours: "Business hours", REST: "Invoke REST API", Alerts: "Query alerts", ExclusiveLock: "Exclusive lock", Permission: "Permission",
	}[d.Type]
}

// Class is when an entry is asked: all of one class pass before the next one begins.
type Class int

// The classes in their order. Permission comes before the documented five: a pipeline that
// may not use the resource learns nothing about it.
const (
	ClassPermission Class = iota
	ClassStatic
	ClassBefore
	ClassDynamic
	ClassAfter
	ClassLock
	classes
)

// Class returns when the check is asked.
func (d *Definition) Class() Class {
	switch d.Type {
	case Permission:
		return ClassPermission
	case BranchControl, RequiredTemplate, EvaluateArtifact:
		return ClassStatic
	case ExclusiveLock:
		return ClassLock
	case Approval:
		switch d.Approval.Moment {
		case Before:
			return ClassBefore
		case After:
			return ClassAfter
		}
	}
	return ClassDynamic
}

// checkApprover refuses what names nobody who could approve.
func checkApprover(who string) error {
	kind, name, _ := strings.Cut(who, ":")
	ok := false
	switch kind {
	case identity.KindUser:
		ok = identity.CheckUserName(name) == nil
	case "role":
		role, known := identity.ParseRole(name)
		ok = known && role >= identity.Read
	}
	if !ok {
		return fault.New(fault.Invalid, "%q names nobody who could approve.", clip(who)).
			WithNext("use user:NAME, or a group: role:read, role:write, role:maintain, role:admin")
	}
	return nil
}
