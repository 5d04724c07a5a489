package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/foreign"
)

// maxTargets bounds the registries that one step pushes to, and maxTags its tags.
const (
	maxTargets = 20
	maxTags    = 100
)

// ownRegistry is the name that means our own registry where a connection is named: a file that
// also runs on the service needs some name there.
const ownRegistry = "towpath"

// elsewhere reports whether the step names a service connection.
func (d *dockerCall) elsewhere() bool {
	name := strings.TrimSpace(d.in["containerRegistry"])
	return name != "" && !strings.EqualFold(name, ownRegistry)
}

// target is a repository of a registry that images of a step are for.
type target struct {
	host, repository string
	login            foreign.Login
	// direct says that it is our own registry, which the job may use as itself.
	direct bool
}

// name is the full name of an image of the target.
func (t target) name(tag string) (string, error) {
	if t.repository == "" {
		return "", nil
	}
	if !registry.ValidTag(tag) {
		return "", fault.New(fault.Invalid, "%.150q is not a tag: it takes letters, digits, '_', '.' and '-', at most 128.", tag)
	}
	image, err := foreign.Name(t.host, t.repository, tag)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "%.200q is not the name of a repository.", t.repository).WithNext("write repository: NAME, without a registry and a tag")
	}
	return image, nil
}

// targets are where the images of a step go: the registry of the connection that it names,
// else all that the job is logged in to, else our own.
func (d *dockerCall) targets(ctx context.Context) ([]target, error) {
	// As the task does: capitals and blanks cannot be in names.
	repository := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(d.in["repository"])), " ", "")
	var logins []foreign.Login
	if d.elsewhere() {
		l, _, err := d.connection(ctx)
		if err != nil {
			return nil, err
		}
		logins = []foreign.Login{l}
	} else if strings.TrimSpace(d.in["containerRegistry"]) == "" {
		var err error
		if logins, err = d.loggedIn(); err != nil {
			return nil, err
		}
	}
	var out []target
	for _, l := range logins {
		host, err := l.Host()
		if err != nil {
			return nil, err
		}
		out = append(out, target{host: host, repository: strings.TrimPrefix(repository, host+"/"), login: l})
	}
	if len(out) > 0 {
		return out, nil
	}
	own := target{host: d.host, repository: strings.TrimPrefix(repository, d.host+"/"), login: d.own, direct: true}
	if own.repository != "" && !registry.ValidName(own.repository) {
		return nil, fault.New(fault.Invalid, "%.80q is not the name of an image repository.", own.repository).WithNext("write repository: %s/NAME", d.call.Job.Project)
	}
	return []target{own}, nil
}

// tags are those of the step; without any it is latest, as docker has it.
func (d *dockerCall) tags() []string {
	tags := list(d.in["tags"])
	if len(tags) == 0 {
		return []string{"latest"}
	}
	return tags
}

// names are the full names of an image in all its targets.
func (d *dockerCall) names(to []target) ([]string, error) {
	tags := d.tags()
	if len(tags) > maxTags {
		return nil, fault.New(fault.TooLarge, "A step has at most %d tags.", maxTags)
	}
	var out []string
	for _, t := range to {
		for _, tag := range tags {
			image, err := t.name(tag)
			if err != nil {
				return nil, err
			}
			if image != "" {
				out = append(out, image)
			}
		}
	}
	return out, nil
}

// connection is the registry of the service connection that the step names, and its key in
// the file of docker's own client: the address as the connection has it.
func (d *dockerCall) connection(ctx context.Context) (foreign.Login, string, error) {
	if d.named != nil {
		return *d.named, d.key, nil
	}
	lent, err := d.call.Connection(ctx, strings.TrimSpace(d.in["containerRegistry"]))
	if err != nil {
		return foreign.Login{}, "", err
	}
	if lent.Type != library.DockerRegistry {
		return foreign.Login{}, "", fault.New(fault.Invalid, "The service connection %s is of the type %s, not dockerregistry.", lent.Name, lent.Type)
	}
	l := foreign.Login{Server: lent.URL, User: parameter(lent, "username"), Secret: parameter(lent, "password", "token", "apitoken")}
	host, err := l.Host()
	if err != nil {
		return foreign.Login{}, "", err
	}
	d.named, d.key = &l, lent.URL
	if host == foreign.Hub {
		d.key = foreign.HubServer
	}
	return l, d.key, nil
}

// registryAuth is a login in the file of docker's own client.
type registryAuth struct {
	Auth string `json:"auth"`
}

// loggedIn are the logins that the job has, in the order of their names.
func (d *dockerCall) loggedIn() ([]foreign.Login, error) {
	if d.in["auths"] == "" {
		return nil, nil
	}
	var auths []struct {
		Server string `json:"server"`
		registryAuth
	}
	if err := json.Unmarshal([]byte(d.in["auths"]), &auths); err != nil || len(auths) > maxTargets {
		return nil, fault.New(fault.Invalid, "The docker logins of the job cannot be read.").WithNext("log in with Docker@2, to at most %d registries", maxTargets)
	}
	var out []foreign.Login
	for _, a := range auths {
		raw, err := base64.StdEncoding.DecodeString(a.Auth)
		user, secret, ok := strings.Cut(string(raw), ":")
		if err != nil || !ok {
			return nil, fault.New(fault.Invalid, "The docker login of the job at %.200q cannot be read.", a.Server).WithNext("log in with Docker@2")
		}
		out = append(out, foreign.Login{Server: a.Server, User: user, Secret: secret})
	}
	return out, nil
}

// logins are all that a build may need: base images come from registries, too.
func (d *dockerCall) logins(ctx context.Context) ([]foreign.Login, error) {
	out, err := d.loggedIn()
	if err != nil {
		return nil, err
	}
	if d.elsewhere() {
		l, _, err := d.connection(ctx)
		if err != nil {
			return nil, err
		}
		out = append([]foreign.Login{l}, out...)
	}
	return append(out, d.own), nil
}
