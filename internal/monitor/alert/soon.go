package alert

import (
	"context"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
)

var errSoon = fault.New(fault.Unavailable, "Alerts are not ready yet.")

// Seed stores the recommended rules of this version. It is called at every start.
func (s *Service) Seed(ctx context.Context) error { return errSoon }

// Run evaluates rules and sends notifications until ctx ends.
func (s *Service) Run(ctx context.Context) error { return errSoon }

// Rules lists the rules of a project with their states, and those of the platform; "" lists
// those of the platform only. It needs read of the project; "" needs an administrator.
func (s *Service) Rules(ctx context.Context, a identity.Actor, project string) ([]RuleState, error) {
	return nil, errSoon
}

// PutRule makes a rule, or changes the one of its ID. It needs write in the project; ""
// needs an administrator. Of a recommended rule Enabled, Severity, Every, For and
// KeepFiringFor may be changed. What is wrong with its query is said with line and column.
func (s *Service) PutRule(ctx context.Context, a identity.Actor, r Rule) (Rule, error) {
	return r, errSoon
}

// DeleteRule removes a rule; its open alerts resolve. It needs what PutRule needs.
func (s *Service) DeleteRule(ctx context.Context, a identity.Actor, id string) error { return errSoon }

// MuteRule keeps a rule from firing until a moment; zero ends it. It needs what PutRule needs.
func (s *Service) MuteRule(ctx context.Context, a identity.Actor, id string, until time.Time) error {
	return errSoon
}

// Evaluations returns the evaluations of a rule, newest first. It needs what Rules needs.
func (s *Service) Evaluations(ctx context.Context, a identity.Actor, rule string, limit int) ([]Evaluation, error) {
	return nil, errSoon
}

// Draft makes a rule of a query that somebody looks at ("alert on this"); nothing is stored.
func (s *Service) Draft(ctx context.Context, a identity.Actor, project, text string) (Rule, error) {
	return Rule{}, errSoon
}

// Alerts lists alerts, newest first. It needs read of the filter's project.
func (s *Service) Alerts(ctx context.Context, a identity.Actor, f Filter) ([]Alert, error) {
	return nil, errSoon
}

// Alert returns one alert with its history. It needs read of the alert's project.
func (s *Service) Alert(ctx context.Context, a identity.Actor, id string) (Detail, error) {
	return Detail{}, errSoon
}

// Acknowledge notes that somebody looks after an alert. It needs write.
func (s *Service) Acknowledge(ctx context.Context, a identity.Actor, id, note string) error {
	return errSoon
}

// Close resolves an alert by hand. If its condition holds at the next evaluation, it fires
// anew. It needs write.
func (s *Service) Close(ctx context.Context, a identity.Actor, id, why string) error { return errSoon }

// OfRelease lists the alerts that concern a release, newest first. It needs read.
func (s *Service) OfRelease(ctx context.Context, a identity.Actor, project, environment string, number int64) ([]Alert, error) {
	return nil, errSoon
}

// Open counts the open alerts of a project by environment; "" is what has none. It needs read.
func (s *Service) Open(ctx context.Context, a identity.Actor, project string) (map[string]Counts, error) {
	return nil, errSoon
}

// Silences lists the silences of a project, also those that expired within Options.Keep.
func (s *Service) Silences(ctx context.Context, a identity.Actor, project string) ([]Silence, error) {
	return nil, errSoon
}

// Silence makes a silence. It needs write in its project; "" needs an administrator.
func (s *Service) Silence(ctx context.Context, a identity.Actor, in Silence) (Silence, error) {
	return in, errSoon
}

// Expire ends a silence now. It needs what Silence needs.
func (s *Service) Expire(ctx context.Context, a identity.Actor, id string) error { return errSoon }

// Receivers lists the receivers of a project without their secrets. It needs admin in the
// project; "" needs an administrator of the installation.
func (s *Service) Receivers(ctx context.Context, a identity.Actor, project string) ([]ReceiverState, error) {
	return nil, errSoon
}

// PutReceiver makes a receiver or changes the one of its project and name. Secrets that are
// empty stay as they were. It needs what Receivers needs.
func (s *Service) PutReceiver(ctx context.Context, a identity.Actor, r Receiver) (Receiver, error) {
	return r, errSoon
}

// DeleteReceiver removes a receiver that no route names. It needs what Receivers needs.
func (s *Service) DeleteReceiver(ctx context.Context, a identity.Actor, project, name string) error {
	return errSoon
}

// Test sends a notification of an invented alert to a receiver, once, and returns what
// became of it. It needs what Receivers needs.
func (s *Service) Test(ctx context.Context, a identity.Actor, project, name string) (Notification, error) {
	return Notification{}, errSoon
}

// Routes returns the routes of a project. It needs what Receivers needs.
func (s *Service) Routes(ctx context.Context, a identity.Actor, project string) (Routes, error) {
	return Routes{}, errSoon
}

// PutRoutes replaces the routes of a project. It needs what Receivers needs.
func (s *Service) PutRoutes(ctx context.Context, a identity.Actor, r Routes) (Routes, error) {
	return r, errSoon
}

// Notifications lists what was sent to the receivers of a project, newest first. It needs
// read of the project; "" needs an administrator of the installation.
func (s *Service) Notifications(ctx context.Context, a identity.Actor, project string, limit int) ([]Notification, error) {
	return nil, errSoon
}
