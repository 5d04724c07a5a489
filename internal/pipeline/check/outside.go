package check

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/expr"
)

// Subject is the run that stands at a gate, as the questions to the outside see it.
type Subject struct {
	Project   string
	Repo      string // "project/repo"
	Ref       string // "refs/heads/main"
	Commit    string
	Run       int64
	Reason    string
	Requester string
	// Linked are the repositories that the run is made of, its own one first.
	Linked []Branch
	// Extends is the template that the pipeline's file extends; nil for none.
	Extends *Template
	// Images are what the run has put into the registry so far.
	Images []Image
	// Values are the predefined variables of the run; no other variable, and no secret, may
	// leave in a request (C007).
	Values func(name string) (string, bool)
	// Lend returns the address of a generic service connection of the project, and the header
	// Authorization that opens it, "" for none. nil: there are no connections.
	Lend func(ctx context.Context, connection string) (address, authorization string, err error)
}

// Branch is a ref of a repository that a run uses.
type Branch struct {
	Repo string // "project/repo"
	Ref  string // full
}

// Image is an image that a run pushed.
type Image struct {
	Repository string // "project/name"
	Digest     string
}

// Evidence is what is known of an image.
type Evidence struct {
	Signed     bool
	Scanned    bool
	Provenance bool
	SBOM       bool
	Critical   int
	High       int
	Medium     int
	Low        int
	Unknown    int
}

// Alert is an alert that fires.
type Alert struct {
	Name     string
	Severity string
}

// Outside answers what a gate cannot know by itself. Errors are no answers: the question is
// put again later, until the entry times out.
type Outside interface {
	// Protected reports whether a branch is protected, so that commits come to it by pull
	// request only; known is false when the platform cannot tell.
	Protected(ctx context.Context, b Branch) (protected, known bool, err error)
	// Evidence returns what is known of an image; what is still to come is false.
	Evidence(ctx context.Context, i Image) (Evidence, error)
	// Firing lists the alerts that fire in an environment of a project; environment "" means
	// in the whole project.
	Firing(ctx context.Context, project, environment string) ([]Alert, error)
	// Invoke sends a request and returns status and body, which is cut off at a size of the
	// caller's choice. It follows no redirect. An address that is not public and that no
	// operator has allowed is fault.Denied, whatever name stands for it.
	Invoke(ctx context.Context, r Request) (status int, body []byte, err error)
}

// Ask puts the question of an entry to the outside. It blocks as long as the outside does.
// ok is false when there was no answer, which why explains.
func (e *Entry) Ask(ctx context.Context, s Subject, o Outside) (a Answer, ok bool, why string) {
	var err error
	switch e.Type {
	case BranchControl:
		a, err = e.Branches.ask(ctx, s, o)
	case RequiredTemplate:
		a = e.Template.judge(s)
	case EvaluateArtifact:
		a, err = e.Artifact.ask(ctx, s, o)
	case REST:
		a, err = e.REST.ask(ctx, s, o)
	case Alerts:
		a, err = e.Alerts.ask(ctx, e.Resource, o)
	default:
		return Answer{}, false, ""
	}
	if err != nil {
		text, _ := fault.Public(err)
		return Answer{}, false, firstLine(text)
	}
	return a, true, ""
}

// BranchRule is from where a run may come (C003).
type BranchRule struct {
	// Allowed are full refs, in which "*" stands for any text: "refs/heads/main",
	// "refs/heads/release/*". Every repository that the run is made of must be at one.
	Allowed []string `json:"allowed"`
	// Protected wants each of the branches to be protected.
	Protected bool `json:"protected,omitempty"`
	// AllowUnknown lets branches pass of which nobody knows whether they are protected.
	AllowUnknown bool `json:"allowUnknown,omitempty"`
}

func (r *BranchRule) check() error {
	if len(r.Allowed) == 0 || len(r.Allowed) > maxList {
		return fault.New(fault.Invalid, "Branch control has 1 to %d allowed branches.", maxList)
	}
	for _, b := range r.Allowed {
		if b != "*" && !strings.HasPrefix(b, "refs/") || len(b) > maxName || strings.ContainsFunc(b, unprintable) {
			return fault.New(fault.Invalid, "%q is no full name of a branch.", clip(b)).WithNext("write it as refs/heads/main, refs/heads/release/* or *")
		}
	}
	return nil
}

func (r *BranchRule) ask(ctx context.Context, s Subject, o Outside) (Answer, error) {
	for _, b := range s.Linked {
		if !slices.ContainsFunc(r.Allowed, func(p string) bool { return matches(p, b.Ref) }) {
			return no("%s is at %s, which is not among %s", b.Repo, b.Ref, strings.Join(r.Allowed, ", ")), nil
		}
		if !r.Protected {
			continue
		}
		protected, known, err := o.Protected(ctx, b)
		switch {
		case err != nil:
			return Answer{}, fmt.Errorf("asking whether %s is protected: %w", b.Ref, err)
		case !known && !r.AllowUnknown:
			return no("nobody knows whether %s of %s is protected", b.Ref, b.Repo), nil
		case known && !protected:
			return no("%s of %s is not protected", b.Ref, b.Repo), nil
		}
	}
	return yes("all branches are allowed"), nil
}

// matches compares a text with a pattern in which "*" stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(text, p)
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return strings.HasSuffix(text, last)
}

// TemplateRule is what a pipeline must extend (C004).
type TemplateRule struct {
	Templates []Template `json:"templates"` // one of them
}

// Template is a file of a repository.
type Template struct {
	Repo string `json:"repo"` // "project/repo"
	Ref  string `json:"ref"`  // full; "*" in a rule means any
	Path string `json:"path"` // from the root of the repository
}

func (t Template) clean() string { return path.Clean("/" + t.Path) }

func (r *TemplateRule) check() error {
	if len(r.Templates) == 0 || len(r.Templates) > maxList {
		return fault.New(fault.Invalid, "A required template is one of 1 to %d.", maxList)
	}
	for _, t := range r.Templates {
		_, _, ok := strings.Cut(t.Repo, "/")
		if !ok || t.clean() == "/" || t.Ref != "*" && !strings.HasPrefix(t.Ref, "refs/") || len(t.Repo)+len(t.Ref)+len(t.Path) > 3*maxName {
			return fault.New(fault.Invalid, "A template is a path in a repository at a ref.").
				WithNext("write it as {\"repo\": \"shop/templates\", \"ref\": \"refs/heads/main\", \"path\": \"/secure.yml\"}")
		}
	}
	return nil
}

func (r *TemplateRule) judge(s Subject) Answer {
	if s.Extends == nil {
		return no("the pipeline extends no template; it must extend %s", r.Templates[0].clean()+"@"+r.Templates[0].Repo)
	}
	for _, t := range r.Templates {
		if strings.EqualFold(t.Repo, s.Extends.Repo) && t.clean() == s.Extends.clean() && (t.Ref == "*" || t.Ref == s.Extends.Ref) {
			return yes("extends " + t.clean())
		}
	}
	return no("the pipeline extends %s of %s at %s, which is not required", s.Extends.clean(), s.Extends.Repo, s.Extends.Ref)
}

// AlertRule is which alerts must not fire (C009).
type AlertRule struct {
	// Severity is the least that counts: info, warning, error or critical.
	Severity string `json:"severity"`
	// Environment limits the alerts; "" means the environment that carries the check, or the
	// whole project when another resource does.
	Environment  string `json:"environment,omitempty"`
	RetryMinutes int    `json:"retryMinutes,omitempty"` // 0 means 5
}

var severities = []string{"info", "warning", "error", "critical"}

func (r *AlertRule) check() error {
	if !slices.Contains(severities, r.Severity) {
		return fault.New(fault.Invalid, "%q is no severity: use info, warning, error or critical.", clip(r.Severity))
	}
	if len(r.Environment) > maxName {
		return fault.New(fault.Invalid, "The name of an environment has at most %d bytes.", maxName)
	}
	return checkRetry(r.RetryMinutes)
}

func checkRetry(minutes int) error {
	if minutes < 0 || minutes > DefaultTimeout {
		return fault.New(fault.Invalid, "A check is asked again after 1 to %d minutes, not %d.", DefaultTimeout, minutes)
	}
	return nil
}

func (r *AlertRule) ask(ctx context.Context, on Resource, o Outside) (Answer, error) {
	environment := r.Environment
	if environment == "" && on.Kind == Environment {
		environment, _, _ = strings.Cut(on.Name, ".")
	}
	list, err := o.Firing(ctx, on.Project, environment)
	if err != nil {
		return Answer{}, fmt.Errorf("asking for alerts: %w", err)
	}
	least, count, first := slices.Index(severities, r.Severity), 0, ""
	for _, a := range list {
		// A severity that nobody knows counts as the highest.
		if i := slices.Index(severities, a.Severity); i < 0 || i >= least {
			if count++; count == 1 {
				first = a.Name
			}
		}
	}
	if count > 0 {
		return Answer{Why: fmt.Sprintf("%s of severity %s or above: %s", fires(count), r.Severity, clip(first))}, nil
	}
	return Answer{OK: true, Why: "nothing fires"}, nil
}

func fires(n int) string {
	if n == 1 {
		return "1 alert fires"
	}
	return plural(n, "alert") + " fire"
}

func no(format string, args ...any) Answer {
	return Answer{Final: true, Why: fmt.Sprintf(format, args...)}
}

func yes(why string) Answer { return Answer{OK: true, Final: true, Why: why} }

// expand replaces macros by predefined variables.
func (s Subject) expand(text string, escape func(string) string) string {
	return expr.ExpandMacros(text, func(name string) (string, bool) {
		v, ok := s.Values(name)
		return escape(v), ok
	})
}
