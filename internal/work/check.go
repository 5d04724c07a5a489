package work

import (
	"context"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

// Limits of what is written, in bytes unless said otherwise.
const (
	maxTitle    = 256
	maxBody     = 64 << 10
	maxLabels   = 20 // of an item
	maxLabel    = 50
	maxLinks    = 500 // of an item
	maxURL      = 2000
	maxWhy      = 1000
	maxName     = 100 // of a state or a sprint
	maxStates   = 20  // of a project
	maxPoints   = 1000
	maxBulk     = 200 // items in one call
	maxComments = 5000
	maxSprints  = 1000 // of a project
	maxPeople   = 100
	maxDepth    = 20 // of parents
)

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, format, args...)
}

// clip shortens foreign text for a message.
func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 100)], "?") }

func control(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// line wants text of one line.
func line(what, s string, most int) error {
	if strings.TrimSpace(s) == "" || len(s) > most || !utf8.ValidString(s) || strings.ContainsFunc(s, control) {
		return invalid("%s must be one line of 1 to %d bytes.", what, most)
	}
	return nil
}

func checkTitle(s string) error { return line("The title of an item", s, maxTitle) }

func checkBody(what, s string) error {
	switch {
	case len(s) > maxBody:
		return fault.New(fault.TooLarge, "%s has %d bytes; at most %d are kept.", what, len(s), maxBody).WithNext("put the rest where it can be linked to")
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return invalid("%s is not UTF-8.", what)
	}
	return nil
}

func checkWhy(s string) error {
	if s == "" {
		return nil
	}
	return line("A reason", s, maxWhy)
}

// oneOf wants one of some words.
func oneOf(what, s string, words ...string) error {
	if !slices.Contains(words, s) {
		return invalid("%q is no %s.", clip(s), what).WithNext("use %s", strings.Join(words, ", "))
	}
	return nil
}

func checkType(s string) error {
	return oneOf("type of an item", s, TypeBug, TypeTask, TypeStory, TypeSecurity)
}

func checkSeverity(s string) error {
	if s == "" {
		return nil
	}
	return oneOf("severity", s, Critical, High, Medium, Low)
}

func checkPriority(n int) error {
	if n < 0 || n > 4 {
		return invalid("The priority %d is none.", n).WithNext("use 1 (first) to 4, or 0 for none")
	}
	return nil
}

func checkPoints(p float64) error {
	if math.IsNaN(p) || p < 0 || p > maxPoints {
		return invalid("%v are no points.", p).WithNext("use 0 (not estimated) to %d", maxPoints)
	}
	return nil
}

func checkAssignee(s string) error {
	if s == "" {
		return nil
	}
	return identity.CheckUserName(s)
}

// checkMember wants somebody who may see the project, or the actor, who may write there.
func (s *Service) checkMember(ctx context.Context, a identity.Actor, project, user string) error {
	if err := checkAssignee(user); err != nil || user == "" || a.Kind == identity.KindUser && a.Name == user {
		return err
	}
	err := s.Auth.Require(ctx, identity.Actor{Kind: identity.KindUser, Name: user, Cap: identity.Read}, project, identity.Read)
	if fault.Is(err, fault.NotFound) {
		return invalid("%s is no member of %s.", user, project).
			WithNext("list the members with `towpath project members --project %s`, or add them with `towpath project grant`", project)
	}
	return err
}

// labels returns labels as they are kept: trimmed, sorted, each once.
func labels(in []string) ([]string, error) {
	out := make([]string, 0, len(in))
	for _, l := range in {
		l = strings.TrimSpace(l)
		if err := line("A label", l, maxLabel); err != nil {
			return nil, err
		}
		if strings.ContainsAny(l, ",|") {
			return nil, invalid("The label %q has a comma or a bar in it.", clip(l)).WithNext("leave them out")
		}
		out = append(out, l)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxLabels {
		return nil, fault.New(fault.TooLarge, "An item has at most %d labels.", maxLabels)
	}
	return out, nil
}

func hundredths(p float64) int64 { return int64(math.Round(p * 100)) }
func points(h int64) float64     { return float64(h) / 100 }

var subjectID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9/:._@-]{0,299}$`)

// kinds are the kinds of subjects that an item may link to.
var kinds = []string{
	event.KindProject, event.KindRepo, event.KindCommit, event.KindPull, event.KindRun, event.KindJob, event.KindImage, event.KindSBOM, event.KindScan,
	event.KindSignature, event.KindProvenance, event.KindDecision, event.KindRelease, event.KindPod, event.KindAlert, event.KindItem, event.KindSession, event.KindUser,
}

// rels are the relations that an item's links may have.
var rels = []string{event.RelConcerns, event.RelSuspects, event.RelFixedBy, event.RelMentioned, RelRelates, RelRegressionOf}

// checkLink returns a link as it is kept.
func checkLink(l Link) (Link, error) {
	if l.Rel == "" {
		l.Rel = RelRelates
	}
	if err := oneOf("relation", l.Rel, rels...); err != nil {
		return l, err
	}
	if l.Title != "" {
		if err := line("The title of a link", l.Title, maxTitle); err != nil {
			return l, err
		}
	}
	switch {
	case l.Subject == "" && l.URL == "":
		return l, invalid("A link needs a subject or an address.").WithNext("such as pull:shop/web/7, commit:<hash> or https://…")
	case l.URL != "" && !isURL(l.URL):
		return l, invalid("%q is no address that can be linked to.", clip(l.URL)).WithNext("use http://…, https://… or a path of this installation")
	case l.Subject == "":
		l.Kind = "url"
		return l, nil
	}
	s := event.Subject(l.Subject)
	if !slices.Contains(kinds, s.Kind()) || !subjectID.MatchString(s.ID()) || strings.Contains(s.ID(), "..") {
		return l, invalid("%q is no subject.", clip(l.Subject)).WithNext("such as pull:shop/web/7, commit:<hash>, release:shop/production/48 or item:12")
	}
	l.Kind = s.Kind()
	return l, nil
}

// isURL takes http and https addresses and paths of this installation; never a script.
func isURL(s string) bool {
	if len(s) > maxURL || strings.ContainsFunc(s, control) || strings.ContainsAny(s, " \"<>\\`") {
		return false
	}
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	if u.Scheme == "" {
		return u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//")
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// target is the part of a link that tells it from others of its relation.
func (l Link) target() string {
	if l.Subject != "" {
		return l.Subject
	}
	return l.URL
}
