package webtest

import (
	"context"
	"io"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// Checks are those of the fixture: an approval and a lock on production.
type Checks struct{ f *Fixture }

func production() check.Resource {
	return check.Resource{Kind: check.Environment, Project: "shop", Name: "production"}
}

// List returns what was added too.
func (c Checks) List(ctx context.Context, a identity.Actor, project string) ([]check.Definition, error) {
	if err := c.f.Require(ctx, a, project, identity.Read); err != nil || c.f.Empty {
		return nil, err
	}
	c.f.Lock()
	defer c.f.Unlock()
	return append([]check.Definition{
		{ID: "01CHECK1", Resource: production(), Type: check.Approval, Title: "Release <script>alert(1)</script>", Changed: Now.Add(-48 * time.Hour), By: "user:ada", Approval: &check.ApprovalRule{Approvers: []string{"user:ada", "role:maintain"}, Minimum: 1, Instructions: "Look at the error budget first."}},
		{ID: "01CHECK2", Resource: production(), Type: check.ExclusiveLock, Changed: Now.Add(-48 * time.Hour), By: "user:ada"},
		{ID: "01CHECK3", Resource: check.Resource{Kind: check.Group, Project: "shop", Name: "production"}, Type: check.BranchControl, TimeoutMinutes: 60, Changed: Now.Add(-2 * time.Hour), By: "user:ada", Branches: &check.BranchRule{Allowed: []string{"refs/heads/main"}, Protected: true}},
	}, c.f.Added...), nil
}

// Add needs the role maintain and refuses what cannot be meant.
func (c Checks) Add(ctx context.Context, a identity.Actor, d check.Definition) (check.Definition, error) {
	if err := c.f.Require(ctx, a, d.Resource.Project, identity.Maintain); err != nil {
		return d, err
	}
	if err := d.Check(); err != nil {
		return d, err
	}
	c.f.Lock()
	defer c.f.Unlock()
	d.ID, d.By, d.Changed = "01ADDED", a.String(), Now
	c.f.Added = append(c.f.Added, d)
	return d, nil
}

// Remove needs the role maintain and notes the id.
func (c Checks) Remove(ctx context.Context, a identity.Actor, project, id string) error {
	return noteAs(ctx, c.f, a, project, "remove check "+id)
}

// Access says that one pipeline may use it.
func (c Checks) Access(ctx context.Context, a identity.Actor, r check.Resource) (check.Access, error) {
	return check.Access{Resource: r, Restricted: true, Pipelines: []string{"shop/shop"}}, c.f.Require(ctx, a, r.Project, identity.Read)
}

// Permit needs the role maintain and notes the pipeline.
func (c Checks) Permit(ctx context.Context, a identity.Actor, r check.Resource, pipeline string, allowed bool) error {
	said := "forbid "
	if allowed {
		said = "permit "
	}
	return noteAs(ctx, c.f, a, r.Project, said+pipeline+" "+r.Path())
}

func noteAs(ctx context.Context, f *Fixture, a identity.Actor, project, said string) error {
	if err := f.Require(ctx, a, project, identity.Maintain); err != nil {
		return err
	}
	f.Lock()
	defer f.Unlock()
	f.Said = append(f.Said, said)
	return nil
}

// Holds is the approval of the run Long.
func (p Pipeline) Holds(ctx context.Context, a identity.Actor, project string) ([]pipeline.Hold, error) {
	if err := p.f.Require(ctx, a, project, identity.Read); err != nil || p.f.Empty {
		return nil, err
	}
	return p.RunChecks(ctx, a, Long)
}

// Reassign knows one approval and notes who is to be asked.
func (p Pipeline) Reassign(ctx context.Context, a identity.Actor, entry, _, to string) (pipeline.Hold, error) {
	h, err := known(entry)
	if err == nil {
		err = noteAs(ctx, p.f, a, "shop", "reassign to "+to)
	}
	return h, err
}

// answered are events that say who answered.
func answered() []event.Event {
	return []event.Event{
		{Seq: 2, Type: event.TypeCheckAnswered, Project: "shop", Time: Now.Add(-3 * time.Hour), Actor: "user:bob", Payload: []byte(`{"v":1,"run":2038,"stage":"Deploy","type":"approval","title":"Release","resource":"environment/production","action":"approved","why":"the budget is fine <script>alert(1)</script>"}`)},
		{Seq: 3, Type: event.TypeCheckDecided, Project: "shop", Time: Now.Add(-3 * time.Hour), Actor: "system:pipeline", Payload: []byte(`{"v":1,"run":2038,"stage":"Deploy","type":"approval","title":"Release","resource":"environment/production","result":"passed"}`)},
	}
}

// Library is the fixture's library.
type Library struct{ f *Fixture }

// SecretText is the value of every secret; no page may ever show it.
const SecretText = "hunter2-is-not-shown"

// Groups is one group; the service never answers with secret values.
func (l Library) Groups(ctx context.Context, a identity.Actor, project string) ([]library.Group, error) {
	if err := l.f.Require(ctx, a, project, identity.Read); err != nil || l.f.Empty {
		return nil, err
	}
	return []library.Group{{Name: "production", Description: "What production <script>alert(1)</script> needs", Changed: Now.Add(-5 * time.Hour), By: "user:ada", Variables: []library.Value{{Name: "region", Value: "eu"}, {Name: "password", Secret: true}}}}, nil
}

// Group is one of Groups.
func (l Library) Group(ctx context.Context, a identity.Actor, project, name string) (library.Group, error) {
	list, err := l.Groups(ctx, a, project)
	if err != nil || len(list) == 0 || !strings.EqualFold(name, list[0].Name) {
		return library.Group{}, orMissing(err, name)
	}
	return list[0], nil
}

func orMissing(err error, name string) error {
	if err != nil {
		return err
	}
	return fault.New(fault.NotFound, "There is no %q in the library.", name)
}

// CreateGroup notes the names.
func (l Library) CreateGroup(ctx context.Context, a identity.Actor, project, name, _ string, values []library.Value, open bool) (library.Group, error) {
	said := "group " + name
	for _, v := range values {
		said += " " + v.Name + "=" + v.Value
		if v.Secret {
			said += " secret"
		}
	}
	if open {
		said += " open"
	}
	return library.Group{Name: name}, noteAs(ctx, l.f, a, project, said)
}

// ChangeGroup notes what changes.
func (l Library) ChangeGroup(ctx context.Context, a identity.Actor, project, name string, c library.Change) (library.Group, error) {
	said := "change " + name
	for _, v := range c.Set {
		said += " set " + v.Name
	}
	for _, n := range c.Remove {
		said += " remove " + n
	}
	return library.Group{Name: name}, noteAs(ctx, l.f, a, project, said)
}

// RemoveGroup notes the name.
func (l Library) RemoveGroup(ctx context.Context, a identity.Actor, project, name string) error {
	return noteAs(ctx, l.f, a, project, "remove group "+name)
}

// Files is one file.
func (l Library) Files(ctx context.Context, a identity.Actor, project string) ([]library.File, error) {
	if err := l.f.Require(ctx, a, project, identity.Read); err != nil || l.f.Empty {
		return nil, err
	}
	return []library.File{{Name: "signing.p12", Bytes: 4096, Changed: Now.Add(-24 * time.Hour), By: "user:ada"}}, nil
}

// UploadFile notes the name and the size.
func (l Library) UploadFile(ctx context.Context, a identity.Actor, project, name string, content io.Reader, _ bool) (library.File, error) {
	raw, err := io.ReadAll(content)
	if err != nil {
		return library.File{}, err
	}
	return library.File{Name: name, Bytes: int64(len(raw))}, noteAs(ctx, l.f, a, project, "file "+name+" "+string(raw))
}

// RemoveFile notes the name.
func (l Library) RemoveFile(ctx context.Context, a identity.Actor, project, name string) error {
	return noteAs(ctx, l.f, a, project, "remove file "+name)
}

// Connections is one connection.
func (l Library) Connections(ctx context.Context, a identity.Actor, project string) ([]library.Connection, error) {
	if err := l.f.Require(ctx, a, project, identity.Read); err != nil || l.f.Empty {
		return nil, err
	}
	return []library.Connection{{Name: "hub", Type: library.DockerRegistry, URL: "https://images.example.com", Changed: Now.Add(-24 * time.Hour), By: "user:ada", Parameters: []library.Value{{Name: "username", Value: "ada"}, {Name: "password", Secret: true}}}}, nil
}

// Connection is one of Connections.
func (l Library) Connection(ctx context.Context, a identity.Actor, project, name string) (library.Connection, error) {
	list, err := l.Connections(ctx, a, project)
	if err != nil || len(list) == 0 || !strings.EqualFold(name, list[0].Name) {
		return library.Connection{}, orMissing(err, name)
	}
	return list[0], nil
}

// CreateConnection notes the type and the address.
func (l Library) CreateConnection(ctx context.Context, a identity.Actor, project string, c library.Connection, _ bool) (library.Connection, error) {
	return c, noteAs(ctx, l.f, a, project, "connection "+c.Name+" "+c.Type+" "+c.URL)
}

// ChangeConnection notes the name.
func (l Library) ChangeConnection(ctx context.Context, a identity.Actor, project, name string, _ library.Change) (library.Connection, error) {
	return library.Connection{Name: name}, noteAs(ctx, l.f, a, project, "change connection "+name)
}

// RemoveConnection notes the name.
func (l Library) RemoveConnection(ctx context.Context, a identity.Actor, project, name string) error {
	return noteAs(ctx, l.f, a, project, "remove connection "+name)
}

// Parameters are one of each type.
func (p Pipeline) Parameters(ctx context.Context, a identity.Actor, repo, ref string) ([]plan.Parameter, error) {
	if ref == "broken" {
		return nil, fault.New(fault.Invalid, "azure-pipelines.yml (Line: 3, Col: 1): Unexpected value 'stpes'.").WithNext("mend the file")
	}
	project, _, _ := strings.Cut(repo, "/")
	return []plan.Parameter{
		{Name: "region", DisplayName: "Region", Type: "string", Values: []string{"eu", "us"}, Value: "eu"},
		{Name: "dryRun", DisplayName: "Dry run", Type: "boolean", Value: true},
		{Name: "replicas", Type: "number", Value: float64(3)},
		{Name: "hosts", Type: "object", Value: []any{"a", "<script>alert(1)</script>"}},
		{Name: "note", Type: "string", Value: ""},
	}, p.f.Require(ctx, a, project, identity.Read)
}

// Variables are a settable one and one that is not.
func (p Pipeline) Variables(ctx context.Context, a identity.Actor, repo string) ([]pipeline.Variable, error) {
	project, _, _ := strings.Cut(repo, "/")
	return []pipeline.Variable{{Name: "retries", Value: "1", Settable: true}, {Name: "fixed", Value: "2"}}, p.f.Require(ctx, a, project, identity.Read)
}

// StartWith needs the write role and notes what was given.
func (p Pipeline) StartWith(ctx context.Context, a identity.Actor, repo string, in pipeline.Request) (pipeline.Run, error) {
	project, _, _ := strings.Cut(repo, "/")
	if err := p.f.Require(ctx, a, project, identity.Write); err != nil {
		return pipeline.Run{}, err
	}
	p.f.Lock()
	defer p.f.Unlock()
	p.f.Started = append(p.f.Started, in)
	return runs()[0], nil
}
