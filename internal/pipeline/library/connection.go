package library

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/store"
)

// The types of connections.
const (
	Kubernetes     = "kubernetes"
	DockerRegistry = "dockerregistry"
	Generic        = "generic"
	// IncomingWebhook takes calls from outside, which start pipelines (J007).
	IncomingWebhook = "incomingwebhook"
)

// Connection is a service connection: an address, and what opens it.
type Connection struct {
	Name        string `json:"name"`
	Type        string `json:"type"` // kubernetes, dockerregistry, generic, incomingwebhook
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
	// Parameters are username, password, apitoken, …; secret ones have no value.
	Parameters []Value   `json:"parameters"`
	Changed    time.Time `json:"changed"`
	By         string    `json:"by"`
}

// connectionBody is what a row of a connection holds.
type connectionBody struct {
	Type        string  `json:"type"`
	URL         string  `json:"url"`
	Description string  `json:"description,omitempty"`
	Parameters  []Value `json:"parameters"`
}

// kept are parameters that are never plain.
var kept = []string{"password", "apitoken", "token", "kubeconfig", "apikey", "accesstoken", "secret", "key"}

// elsewhere says of types of connections that there are none of, how the thing is done here.
var elsewhere = map[string]string{
	"azurerm":                  "deploy to a cluster with an environment of Towpath, or with a connection of the type kubernetes; call another cloud with a connection of the type generic",
	"azure resource manager":   "use the type kubernetes or generic",
	"github":                   "push the repository here; templates and checkouts then name it in resources.repositories with type: git",
	"azurecontainerregistry":   "use the type dockerregistry with a user name and a password",
	"externalnpmregistry":      "use the type generic, and its parameters in the environment of a step",
	"azurekubernetesservice":   "use the type kubernetes",
	"ssh":                      "use a secure file with the key",
	"sonarqube":                "use the type generic with the parameter token",
	"externalnugetfeed":        "use the type generic, and its parameters in the environment of a step",
	"dockerhub":                "use the type dockerregistry",
	"externalpythonuploadfeed": "use the type generic",
}

func connectionOf(project, name string) check.Resource {
	return check.Resource{Kind: check.Connection, Project: project, Name: name}
}

// check refuses what cannot be a connection.
func (b connectionBody) check() error {
	if next, known := elsewhere[strings.ToLower(b.Type)]; known {
		return fault.New(fault.Invalid, "There are no connections of the type %s in Towpath.", b.Type).WithNext("%s", next)
	}
	if !slices.Contains([]string{Kubernetes, DockerRegistry, Generic, IncomingWebhook}, b.Type) {
		return fault.New(fault.Invalid, "%q is no type of a connection.", clip(b.Type)).WithNext("use kubernetes, dockerregistry, generic or incomingwebhook")
	}
	if b.Type == IncomingWebhook {
		return b.checkHook()
	}
	u, err := url.Parse(b.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(b.URL) > 2000 {
		return fault.New(fault.Invalid, "A connection has an address such as https://host/path, without a password in it.")
	}
	for _, v := range b.Parameters {
		if !v.Secret && slices.Contains(kept, strings.ToLower(v.Name)) {
			return fault.New(fault.Invalid, "The parameter %s is a secret.", v.Name).WithNext("give it as one: towpath connection set NAME --secret %s", v.Name)
		}
	}
	return checkDescription(b.Description)
}

// checkHook refuses what cannot take calls from outside: without a secret anybody could start
// pipelines.
func (b connectionBody) checkHook() error {
	if b.URL != "" {
		return fault.New(fault.Invalid, "An incoming webhook has no address of its own: it is called at the address that towpath connection show prints.")
	}
	secret := false
	for _, v := range b.Parameters {
		name := strings.ToLower(v.Name)
		switch {
		case name == "secret" && v.Secret:
			secret = true
		case name == "header" && !v.Secret && headerName.MatchString(v.Value):
		default:
			return fault.New(fault.Invalid, "An incoming webhook has the parameters secret, which is one, and header, the name of the header with the signature; %s is none of these.", v.Name)
		}
	}
	if !secret {
		return fault.New(fault.Invalid, "An incoming webhook needs the secret that its calls are signed with.").
			WithNext("give it one: towpath connection create NAME --type incomingwebhook --secret secret")
	}
	return checkDescription(b.Description)
}

// headerName is the name of a header of HTTP.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,100}$`)

// Hook returns the header and the secret by which calls to an incoming webhook are known, and
// its name as it is kept. A connection that is none is fault.NotFound.
func (s *Service) Hook(ctx context.Context, project, name string) (kept, header string, secret []byte, err error) {
	r := connectionOf(project, name)
	it, err := find(ctx, s.DB, r, "")
	if errors.Is(err, errNone) {
		return "", "", nil, missing(r)
	}
	if err != nil {
		return "", "", nil, err
	}
	c, err := connection(it)
	if err != nil {
		return "", "", nil, err
	}
	if c.Type != IncomingWebhook {
		return "", "", nil, missing(r)
	}
	secrets, err := s.unseal(ctx, s.DB, it)
	if err != nil {
		return "", "", nil, err
	}
	header = "X-Hub-Signature-256"
	for _, v := range c.Parameters {
		if strings.EqualFold(v.Name, "header") {
			header = v.Value
		}
	}
	return c.Name, header, []byte(secrets["secret"]), nil
}

func connection(it item) (Connection, error) {
	var b connectionBody
	if err := decode(it, &b); err != nil {
		return Connection{}, err
	}
	return Connection{Name: it.r.Name, Type: b.Type, URL: b.URL, Description: b.Description, Parameters: b.Parameters, Changed: it.changed, By: it.by}, nil
}

// Connections returns the service connections of a project by name. The actor needs the
// role read.
func (s *Service) Connections(ctx context.Context, a identity.Actor, project string) ([]Connection, error) {
	if err := s.Auth.Require(ctx, a, project, identity.Read); err != nil {
		return nil, err
	}
	items, err := list(ctx, s.DB, project, check.Connection)
	if err != nil {
		return nil, err
	}
	out := make([]Connection, len(items))
	for i, it := range items {
		if out[i], err = connection(it); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Connection returns a service connection; its secret parameters have no value. The actor
// needs the role read.
func (s *Service) Connection(ctx context.Context, a identity.Actor, project, name string) (Connection, error) {
	r := connectionOf(project, name)
	if err := s.may(ctx, a, r, identity.Read); err != nil {
		return Connection{}, err
	}
	it, err := find(ctx, s.DB, r, "")
	if errors.Is(err, errNone) {
		return Connection{}, missing(r)
	}
	if err != nil {
		return Connection{}, err
	}
	return connection(it)
}

// CreateConnection makes a service connection of c's name, type, address and parameters;
// open lets every pipeline of the project use it. The actor needs the role maintain.
func (s *Service) CreateConnection(ctx context.Context, a identity.Actor, project string, c Connection, open bool) (Connection, error) {
	r := connectionOf(project, c.Name)
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return Connection{}, err
	}
	if strings.Contains(c.Name, ",") {
		return Connection{}, fault.New(fault.Invalid, "The name of a connection has no comma: tasks separate several names by it.")
	}
	b := connectionBody{Type: c.Type, URL: c.URL, Description: c.Description, Parameters: c.Parameters}
	if err := b.check(); err != nil {
		return Connection{}, err
	}
	values, e, err := merge(nil, c.Parameters, nil)
	if err != nil {
		return Connection{}, err
	}
	b.Parameters = values
	e.body = b
	if err := s.create(ctx, a, r, e, open); err != nil {
		return Connection{}, err
	}
	return s.Connection(ctx, a, project, c.Name)
}

// ChangeConnection sets and removes parameters. The address stays: a secret that was given
// for one is not sent to another. The actor needs the role maintain.
func (s *Service) ChangeConnection(ctx context.Context, a identity.Actor, project, name string, c Change) (Connection, error) {
	r := connectionOf(project, name)
	if err := s.may(ctx, a, r, identity.Maintain); err != nil {
		return Connection{}, err
	}
	err := s.change(ctx, a, r, func(it item) (edit, error) {
		var b connectionBody
		if err := decode(it, &b); err != nil {
			return edit{}, err
		}
		if c.Description != nil {
			b.Description = *c.Description
		}
		values, e, err := merge(b.Parameters, c.Set, c.Remove)
		if err != nil {
			return e, err
		}
		b.Parameters = values
		e.body = b
		return e, b.check()
	})
	if err != nil {
		return Connection{}, err
	}
	return s.Connection(ctx, a, project, name)
}

// RemoveConnection removes a service connection with the permissions on it. The actor needs
// the role maintain.
func (s *Service) RemoveConnection(ctx context.Context, a identity.Actor, project, name string) error {
	return s.remove(ctx, a, connectionOf(project, name))
}

// Lent is a connection as a job gets it.
type Lent struct {
	Connection
	Scheme string            // None, UsernamePassword, Token, Kubernetes: of the task protocol (K002)
	Auth   map[string]string // parameters with their values, by their names
	Secret []string          // values that a log must hide
}

// LendConnection returns a connection with its secrets, for a job that may use it.
func (s *Service) LendConnection(ctx context.Context, h store.Handle, project, name string) (Lent, error) {
	it, err := find(ctx, h, connectionOf(project, name), "")
	if errors.Is(err, errNone) {
		return Lent{}, missing(connectionOf(project, name))
	}
	if err != nil {
		return Lent{}, err
	}
	c, err := connection(it)
	if err != nil {
		return Lent{}, err
	}
	if c.Type == IncomingWebhook {
		return Lent{}, fault.New(fault.Invalid, "The service connection %s takes calls from outside; no task can use it.", c.Name)
	}
	secrets, err := s.unseal(ctx, h, it)
	if err != nil {
		return Lent{}, err
	}
	out := Lent{Connection: c, Scheme: "None", Auth: map[string]string{}}
	for _, v := range c.Parameters {
		key := strings.ToLower(v.Name)
		if v.Secret {
			v.Value = secrets[key]
			out.Secret = append(out.Secret, v.Value)
		}
		out.Auth[v.Name] = v.Value
		switch {
		case key == "kubeconfig":
			out.Scheme = "Kubernetes"
		case key == "apitoken" || key == "token":
			out.Scheme = "Token"
		case key == "username" && out.Scheme == "None":
			out.Scheme = "UsernamePassword"
		}
	}
	return out, nil
}
