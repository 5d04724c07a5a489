package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/registry/build"
	"towpath.dev/towpath/internal/registry/foreign"
)

// dockerCall is a step Docker@2, as far as the server does its work: start, stop and what
// else only an engine can do stays with the agent.
type dockerCall struct {
	tasks
	call pipeline.TaskCall
	in   map[string]string
	say  func(string)
	// own is the login of the job at our own registry, named that of the connection that the
	// step names, once it has been lent, and key its name for docker's own client.
	own   foreign.Login
	named *foreign.Login
	key   string
}

// docker runs Docker@2.
func (t tasks) docker(ctx context.Context, call pipeline.TaskCall, out func(string)) (map[string]string, error) {
	token, err := call.Token(ctx, identity.AudienceTowpath)
	if err != nil {
		return nil, err
	}
	d := &dockerCall{tasks: t, call: call, in: call.Inputs, say: out, own: foreign.Login{Server: t.url, User: identity.KindRun, Secret: token}}
	switch command := strings.ToLower(strings.TrimSpace(call.Inputs["command"])); command {
	case "login":
		return nil, d.login(ctx)
	case "logout":
		return nil, d.logout(ctx)
	case "build":
		_, err := d.build(ctx)
		return nil, err
	case "buildandpush", "":
		return d.buildAndPush(ctx)
	case "push":
		to, err := d.targets(ctx)
		if err != nil {
			return nil, err
		}
		if err := pushArguments(d.in["arguments"]); err != nil {
			return nil, err
		}
		return d.push(ctx, to)
	default:
		return nil, fault.New(fault.Invalid, "The command %q of Docker@2 needs a Docker engine, which the server has not.", command).
			WithNext("use build, push, buildAndPush, login or logout")
	}
}

// client reaches registries. Our own is at an address that pipelines know and may use.
func (d *dockerCall) client() *foreign.Client {
	return foreign.New(func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == d.host || d.dial == nil {
			return (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
		}
		return d.dial(ctx, network, address)
	})
}

// images is the folder of the images that the job has built.
func (d *dockerCall) images() string { return filepath.Join(d.call.Folder, "images") }

// login gives the agent what the file of docker's own client has about a registry.
func (d *dockerCall) login(ctx context.Context) error {
	l, key := d.own, d.host
	if d.elsewhere() {
		var err error
		if l, key, err = d.connection(ctx); err != nil {
			return err
		}
	}
	if l.User == "" && l.Secret == "" {
		return fault.New(fault.Invalid, "The service connection %s has no user name and no password.", d.in["containerRegistry"]).
			WithNext("give it them: towpath connection set %s username=NAME, and --secret password", d.in["containerRegistry"])
	}
	auth := base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Secret))
	raw, err := json.Marshal(map[string]registryAuth{key: {Auth: auth}})
	if err != nil {
		return err
	}
	d.call.Save("auths.json", raw)
	d.say("Logged in to " + key)
	return nil
}

// logout tells the agent which registry is meant, all of them without one.
func (d *dockerCall) logout(ctx context.Context) error {
	key := ""
	if strings.EqualFold(strings.TrimSpace(d.in["containerRegistry"]), ownRegistry) {
		key = d.host
	}
	if d.elsewhere() {
		var err error
		if _, key, err = d.connection(ctx); err != nil {
			return err
		}
	}
	d.call.Save("registry", []byte(key))
	return nil
}

func (d *dockerCall) buildAndPush(ctx context.Context) (map[string]string, error) {
	if strings.TrimSpace(d.in["arguments"]) != "" {
		d.say("The arguments are those of the build. The service would ignore them: write build and push as two steps for both.")
	}
	to, err := d.targets(ctx)
	if err != nil {
		return nil, err
	}
	if len(to) == 1 && to[0].direct {
		return d.straight(ctx, to[0])
	}
	if to, err = d.build(ctx); err != nil {
		return nil, err
	}
	return d.push(ctx, to)
}

// straight builds an image for our own registry alone: the builder pushes it there itself.
func (d *dockerCall) straight(ctx context.Context, to target) (map[string]string, error) {
	req, err := d.request(ctx, []target{to})
	if err != nil {
		return nil, err
	}
	req.Layout, req.Names = "", nil
	req.Repository, req.Tags, req.Auth = to.repository, d.tags(), build.Auth{User: d.own.User, Secret: d.own.Secret}
	got, err := d.builder.Build(ctx, req, d.say)
	if err != nil {
		return nil, err
	}
	image := d.host + "/" + to.repository + "@" + got.Digest
	d.say("pushed " + image)
	return map[string]string{"digest": got.Digest, "image": image}, nil
}

// build builds an image and keeps it for the steps that follow, under its names in all the
// registries that it is for.
func (d *dockerCall) build(ctx context.Context) ([]target, error) {
	to, err := d.targets(ctx)
	if err != nil {
		return nil, err
	}
	req, err := d.request(ctx, to)
	if err != nil {
		return nil, err
	}
	got, err := d.builder.Build(ctx, req, d.say)
	if err != nil {
		return nil, err
	}
	d.say("built " + got.Digest)
	for _, name := range req.Names {
		d.say("tagged " + name)
	}
	return to, nil
}

// request is the build of the step.
func (d *dockerCall) request(ctx context.Context, to []target) (build.Request, error) {
	req := build.Request{
		Context: d.call.Context, Dockerfile: d.in["Dockerfile"], Layout: d.images(), Args: map[string]string{}, Logins: map[string]build.Auth{},
		// Ours, in OCI's words, beside those that the task adds by itself.
		Labels: map[string]string{
			"org.opencontainers.image.revision": d.call.Job.Commit,
			"org.opencontainers.image.source":   d.call.Job.Repo,
			"dev.towpath.run":                   strconv.FormatInt(d.call.Job.Run, 10),
		},
	}
	logins, err := d.logins(ctx)
	if err != nil {
		return req, err
	}
	for _, l := range logins {
		host, err := l.Host()
		if _, has := req.Logins[host]; err == nil && !has {
			req.Logins[host] = build.Auth{User: l.User, Secret: l.Secret}
		}
	}
	if err := d.labels(ctx, logins, req.Labels); err != nil {
		return req, err
	}
	if req.Names, err = d.names(to); err != nil {
		return req, err
	}
	var more []string
	if err := buildArguments(d.in["arguments"], &req, &more); err != nil {
		return req, err
	}
	req.Names = append(req.Names, more...)
	return req, nil
}

// baseWithin is how long the registry of a base image may take to say its digest.
const baseWithin = 15 * time.Second

// labels adds the labels that the agent has made of its variables, and those of the base
// image. A registry that does not say the digest is no error, as on the service.
func (d *dockerCall) labels(ctx context.Context, logins []foreign.Login, into map[string]string) error {
	if text := d.in["labels"]; text != "" {
		if err := json.Unmarshal([]byte(text), &into); err != nil {
			return fault.Wrap(fault.Invalid, err, "The labels of the image cannot be read.")
		}
	}
	name, digest, _ := strings.Cut(d.in["baseImage"], "@")
	if name == "" {
		return nil
	}
	into["image.base.ref.name"] = name
	if name == "scratch" {
		return nil
	}
	if digest == "" {
		ctx, cancel := context.WithTimeout(ctx, baseWithin)
		defer cancel()
		var err error
		if digest, err = d.client().Digest(ctx, name, logins); err != nil {
			why, _ := fault.Public(err)
			d.say("##[debug]The digest of the base image is not known: " + why)
			return nil
		}
	}
	into["image.base.digest"] = digest
	return nil
}

// push pushes what the job has built, under all its names.
func (d *dockerCall) push(ctx context.Context, to []target) (map[string]string, error) {
	if strings.TrimSpace(d.in["repository"]) == "" {
		d.say("##[warning]No repository is specified. Nothing will be pushed.")
		return nil, nil
	}
	var first map[string]string
	for _, t := range to {
		for _, tag := range d.tags() {
			digest, err := d.pushOne(ctx, t, tag)
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = map[string]string{"digest": digest, "image": t.host + "/" + t.repository + "@" + digest}
			}
		}
	}
	return first, nil
}

func (d *dockerCall) pushOne(ctx context.Context, t target, tag string) (string, error) {
	image, err := t.name(tag)
	if err != nil {
		return "", err
	}
	digest, err := foreign.Kept(d.images(), image)
	if err != nil {
		return "", err
	}
	if digest == "" {
		return d.pushed(ctx, t, tag, image)
	}
	got, err := d.client().Push(ctx, t.login, d.images(), digest, image)
	if err != nil {
		return "", err
	}
	d.say("The push refers to repository [" + t.host + "/" + t.repository + "]")
	d.say(fmt.Sprintf("%s: digest: %s size: %d", tag, got.Digest, got.Size))
	return got.Digest, nil
}

// pushed answers the push of an image that no step of the job has kept: into our own registry
// buildAndPush has brought it at once.
func (d *dockerCall) pushed(ctx context.Context, t target, tag, image string) (string, error) {
	none := fault.New(fault.NotFound, "An image does not exist locally with the tag: %s.", image).
		WithNext("build it in an earlier step of this job, with the same containerRegistry, repository and tags")
	if !t.direct {
		return "", none
	}
	m, err := d.registry.ManifestRecord(ctx, jobActor(d.call.Job), t.repository, tag)
	if fault.Is(err, fault.NotFound) {
		return "", none
	}
	if err != nil {
		return "", err
	}
	d.say(image + " is in the registry already")
	return m.Digest, nil
}

// buildArguments reads the input arguments, which is a command line of docker build; names
// gets further names of the image.
func buildArguments(line string, r *build.Request, names *[]string) error {
	ignored := new(bool)
	unsaid := func(string) error { return nil }
	more := func(v string) error { *names = append(*names, v); return nil }
	return options(line, "Docker@2", map[string]func(value string) error{
		"--build-arg": func(v string) error { return pair(v, r.Args) },
		"--label":     func(v string) error { return pair(v, r.Labels) },
		"--target":    func(v string) error { r.Target = v; return nil },
		"--platform":  func(v string) error { r.Platform = v; return nil },
		"--tag":       more, "-t": more,
		// They change how docker says what it does, and nothing of the image.
		"--progress": unsaid,
	}, map[string]*bool{"--no-cache": &r.NoCache, "--pull": &r.Pull, "--rm": ignored, "--force-rm": ignored, "--quiet": ignored, "-q": ignored})
}

// pushArguments reads the input arguments of a push.
func pushArguments(line string) error {
	ignored := new(bool)
	return options(line, "Docker@2", nil, map[string]*bool{"--quiet": ignored, "-q": ignored, "--disable-content-trust": ignored})
}
