package app

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/build"
	"towpath.dev/towpath/internal/registry/foreign"
	"towpath.dev/towpath/internal/registry/registrytest"
)

// connectionTo is a service connection of the type dockerregistry.
func connectionTo(name, url, user, password string) library.Lent {
	return library.Lent{Connection: library.Connection{Name: name, Type: library.DockerRegistry, URL: url}, Auth: map[string]string{"username": user, "password": password}}
}

// dockerJob is a job that calls Docker@2: its connections by name, and what it was given.
type dockerJob struct {
	tasks
	folder      string
	token       string
	connections map[string]library.Lent
	saved       map[string]string
	lines       []string
}

func (j *dockerJob) run(t *testing.T, inputs map[string]string) (map[string]string, error) {
	t.Helper()
	j.saved, j.lines = map[string]string{}, nil
	return j.Run(t.Context(), pipeline.TaskCall{
		Task: "Docker@2", Inputs: inputs, Context: strings.NewReader(""), Folder: j.folder, Job: identity.JobClaims{Project: "shop", Repo: "shop/web", Run: 7},
		Token: func(context.Context, string) (string, error) { return j.token, nil },
		Save:  func(name string, data []byte) { j.saved[name] = string(data) },
		Connection: func(_ context.Context, name string) (library.Lent, error) {
			c, ok := j.connections[name]
			if !ok {
				return c, fault.New(fault.Denied, "No step of the job names the service connection %s.", name)
			}
			return c, nil
		},
	}, func(line string) { j.lines = append(j.lines, line) })
}

func newDockerJob(t *testing.T, own *registrytest.Server) *dockerJob {
	t.Helper()
	refuse := func(context.Context, string, string) (net.Conn, error) {
		return nil, fault.New(fault.Denied, "not a public address")
	}
	j := &dockerJob{tasks: tasks{voices: newVoices(), host: "localhost:7080", url: "http://localhost:7080", dial: refuse}, folder: t.TempDir(), connections: map[string]library.Lent{}, token: "job-token"}
	if own != nil {
		j.registry, j.host, j.url, j.token = own.Service, own.Host, own.HTTP.URL, own.Token(t, "shop", 7)
	}
	return j
}

// keeps is what the command build leaves in the job.
func (j *dockerJob) keeps(t *testing.T, names ...string) string {
	t.Helper()
	img, err := random.Image(2000, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := layout.Write(filepath.Join(j.folder, "images"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := dir.AppendImage(img, layout.WithAnnotations(map[string]string{"io.containerd.image.name": n})); err != nil {
			t.Fatal(err)
		}
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func spell(v any) string { return fmt.Sprint(v) }

func auths(list ...foreign.Login) string {
	var out []map[string]string
	for _, l := range list {
		out = append(out, map[string]string{"server": l.Server, "auth": base64.StdEncoding.EncodeToString([]byte(l.User + ":" + l.Secret))})
	}
	raw, _ := json.Marshal(out)
	return string(raw)
}

// Where the images of a step go, and what they are called there.
func TestDockerNamesK024(t *testing.T) {
	hub := auths(foreign.Login{Server: foreign.HubServer, User: "u", Secret: "p"}, foreign.Login{Server: "http://r.example.com:5000/", User: "u", Secret: "p"})
	for _, c := range []struct{ name, connection, repository, tags, auths, want string }{
		{"our own registry", "", "shop/web", "1", "", "localhost:7080/shop/web:1"},
		{"our own registry by its host", "", "localhost:7080/shop/web", "1", "", "localhost:7080/shop/web:1"},
		{"tags on lines and between commas", "", "shop/web", "1,2\n3\n\n", "", "localhost:7080/shop/web:1 localhost:7080/shop/web:2 localhost:7080/shop/web:3"},
		{"no tags", "", "shop/web", "", "", "localhost:7080/shop/web:latest"},
		{"capitals and blanks", "", "Shop/My Web", "1", "", "localhost:7080/shop/myweb:1"},
		{"a connection", "r", "web", "1", "", "r.example.com:5000/web:1"},
		{"a connection goes before logins", "r", "web", "1", hub, "r.example.com:5000/web:1"},
		{"Docker Hub", "hub", "me/web", "1", "", "docker.io/me/web:1"},
		{"Docker Hub's own images", "hub", "web", "1", "", "docker.io/library/web:1"},
		{"all logins", "", "me/web", "1\n2", hub, "docker.io/me/web:1 docker.io/me/web:2 r.example.com:5000/me/web:1 r.example.com:5000/me/web:2"},
		{"our own registry by its name", "Towpath", "shop/web", "1", hub, "localhost:7080/shop/web:1"},
		{"no repository", "", "", "1", "", ""},
		{"a tag that is none", "", "shop/web", "a b", "", "error: \"a b\" is not a tag"},
		{"a repository that is none", "", "shop//web", "1", "", "error: \"shop//web\" is not the name"},
		{"a repository with a tag", "r", "web:1", "1", "", "error: \"web:1\" is not the name"},
		{"another type", "generic", "web", "1", "", "error: The service connection generic is of the type generic, not dockerregistry"},
		{"no such connection", "theirs", "web", "1", "", "error: No step of the job names the service connection theirs"},
		{"logins that are none", "", "web", "1", `[{"server":"r","auth":"!"}]`, "error: The docker login of the job at \"r\" cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newDockerJob(t, nil)
			generic := connectionTo("generic", "https://x", "", "")
			generic.Type = library.Generic
			j.connections = map[string]library.Lent{"generic": generic, "r": connectionTo("r", "https://R.example.com:5000/", "u", "p"), "hub": connectionTo("hub", "https://index.docker.io/v1/", "u", "p")}
			call := pipeline.TaskCall{Job: identity.JobClaims{Project: "shop"}, Connection: func(_ context.Context, name string) (library.Lent, error) {
				l, ok := j.connections[name]
				if !ok {
					return l, fault.New(fault.Denied, "No step of the job names the service connection %s.", name)
				}
				return l, nil
			}}
			d := &dockerCall{tasks: j.tasks, call: call, in: map[string]string{"containerRegistry": c.connection, "repository": c.repository, "tags": c.tags, "auths": c.auths}}
			to, err := d.targets(t.Context())
			var got []string
			if err == nil {
				got, err = d.names(to)
			}
			text := strings.Join(got, " ")
			if err != nil {
				text = "error: " + said(err)
			}
			if text != c.want && (err == nil || !strings.HasPrefix(text, c.want)) {
				t.Errorf("%s\nwant %s", text, c.want)
			}
		})
	}
}

func TestDockerArgumentsK024(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"what a build takes", "--build-arg A=1 --build-arg=B=2 --label x=y --target t --no-cache --pull\n--rm -q --platform linux/arm64 -t other:1", "map[A:1 B:2] map[x:y] t true true linux/arm64 [other:1]"},
		{"another", "--network host", "error: Docker@2 does not understand the argument \"--network\""},
		{"no value", "--target", "error: The argument --target of Docker@2 has no value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := build.Request{Args: map[string]string{}, Labels: map[string]string{}}
			var names []string
			got := ""
			if err := buildArguments(c.line, &r, &names); err != nil {
				got = "error: " + said(err)
			} else {
				got = strings.TrimSpace(strings.Join([]string{spell(r.Args), spell(r.Labels), r.Target, spell(r.NoCache), spell(r.Pull), r.Platform, spell(names)}, " "))
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

// TestDockerPushK024 pushes what a job has built to real registries that want to know who asks.
func TestDockerPushK024(t *testing.T) {
	own, other := registrytest.Start(t, "", registry.Options{}), registrytest.Start(t, "", registry.Options{})
	j := newDockerJob(t, own)
	j.dial = (&net.Dialer{}).DialContext
	writer, stranger := connectionTo("writer", other.HTTP.URL, "writer", registrytest.Password), connectionTo("stranger", other.HTTP.URL, "stranger", registrytest.Password)
	j.connections = map[string]library.Lent{"writer": writer, "stranger": stranger, "tls": connectionTo("tls", "https://"+other.Host, "writer", registrytest.Password)}
	digest := j.keeps(t, other.Host+"/shop/web:1", other.Host+"/shop/web:2", own.Host+"/shop/web:1")
	logins := auths(foreign.Login{Server: own.HTTP.URL, User: "writer", Secret: registrytest.Password}, foreign.Login{Server: other.HTTP.URL, User: "writer", Secret: registrytest.Password})
	there := func(s *registrytest.Server, tag string) string {
		m, err := s.ManifestRecord(t.Context(), s.Admin, "shop/web", tag)
		if err != nil {
			return said(err)
		}
		return m.Digest
	}
	for _, c := range []struct {
		name, want, next string
		inputs           map[string]string
	}{
		{"a user who may not", "refuses shop/web", "user name and the password", map[string]string{"containerRegistry": "stranger", "repository": "shop/web", "tags": "1"}},
		{"no TLS where the address says so", "did not take part", "", map[string]string{"containerRegistry": "tls", "repository": "shop/web", "tags": "1"}},
		{"an image that was not built", "An image does not exist locally with the tag: " + other.Host + "/shop/web:9.", "build it in an earlier step", map[string]string{"containerRegistry": "writer", "repository": "shop/web", "tags": "9"}},
		{"an argument", "does not understand the argument \"--all-tags\"", "", map[string]string{"containerRegistry": "writer", "repository": "shop/web", "tags": "1", "arguments": "--all-tags"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.inputs["command"] = "push"
			_, err := j.run(t, c.inputs)
			if err == nil || !strings.Contains(said(err), c.want) || !strings.Contains(said(err), c.next) || strings.Contains(err.Error(), registrytest.Password) {
				t.Errorf("%v", err)
			}
		})
	}
	if got := there(other, "1"); strings.HasPrefix(got, "sha256:") {
		t.Errorf("the other registry has %s already", got)
	}
	got, err := j.run(t, map[string]string{"command": "push", "containerRegistry": "writer", "repository": "shop/web", "tags": "1\n2"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"digest": digest, "image": other.Host + "/shop/web@" + digest}, got); diff != "" {
		t.Error(diff)
	}
	if there(other, "1") != digest || there(other, "2") != digest || !strings.Contains(strings.Join(j.lines, "\n"), "2: digest: "+digest+" size: ") {
		t.Errorf("%s %s\n%s", there(other, "1"), there(other, "2"), strings.Join(j.lines, "\n"))
	}
	// Two logins are two registries; none is ours, as the job itself.
	if _, err := j.run(t, map[string]string{"command": "push", "repository": "shop/web", "tags": "1", "auths": logins}); err != nil || there(own, "1") != digest {
		t.Errorf("%v, our own has %s", err, there(own, "1"))
	}
	j.keeps(t, own.Host+"/shop/web:3")
	if _, err := j.run(t, map[string]string{"command": "push", "repository": "shop/web", "tags": "3"}); err != nil || !strings.HasPrefix(there(own, "3"), "sha256:") {
		t.Errorf("%v, our own has %s", err, there(own, "3"))
	}
}

// A registry that is not public, and that no operator has allowed, is not asked.
func TestDockerGoesNowhereElseK024(t *testing.T) {
	inside := registrytest.Start(t, "", registry.Options{})
	j := newDockerJob(t, nil)
	j.keeps(t, inside.Host+"/shop/web:1")
	for name, inputs := range map[string]map[string]string{
		"by a connection": {"containerRegistry": "in"},
		"by a login":      {"auths": auths(foreign.Login{Server: inside.HTTP.URL, User: "writer", Secret: registrytest.Password})},
	} {
		t.Run(name, func(t *testing.T) {
			j.connections = map[string]library.Lent{"in": connectionTo("in", inside.HTTP.URL, "writer", registrytest.Password)}
			inputs["command"], inputs["repository"], inputs["tags"] = "push", "shop/web", "1"
			if _, err := j.run(t, inputs); !fault.Is(err, fault.Denied) || !strings.Contains(said(err), "--notify-allow") {
				t.Error(err)
			}
		})
	}
}

func TestDockerLoginK024(t *testing.T) {
	j := newDockerJob(t, nil)
	j.connections = map[string]library.Lent{"r": connectionTo("r", "https://r.example.com", "robot", "pw"), "hub": connectionTo("hub", "https://registry.hub.docker.com", "robot", "pw"), "open": connectionTo("open", "https://r.example.com", "", "")}
	auth := func(user, secret string) string {
		return base64.StdEncoding.EncodeToString([]byte(user + ":" + secret))
	}
	for _, c := range []struct{ name, command, connection, file, want string }{
		{"login", "login", "r", "auths.json", `{"https://r.example.com":{"auth":"` + auth("robot", "pw") + `"}}`},
		{"login at Docker Hub", "Login", "hub", "auths.json", `{"https://index.docker.io/v1/":{"auth":"` + auth("robot", "pw") + `"}}`},
		{"login at our own", "login", "", "auths.json", `{"localhost:7080":{"auth":"` + auth("run", "job-token") + `"}}`},
		{"logout", "logout", "r", "registry", "https://r.example.com"},
		{"logout of our own", "logout", "towpath", "registry", "localhost:7080"},
		{"logout of all", "logout", "", "registry", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := j.run(t, map[string]string{"command": c.command, "containerRegistry": c.connection}); err != nil {
				t.Fatal(err)
			}
			if got, ok := j.saved[c.file]; !ok || got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			if strings.Contains(strings.Join(j.lines, "\n"), "pw") {
				t.Error("the password is said")
			}
		})
	}
	if _, err := j.run(t, map[string]string{"command": "login", "containerRegistry": "open"}); !strings.Contains(said(err), "no user name") {
		t.Error(err)
	}
	if _, err := j.run(t, map[string]string{"command": "inspect"}); !strings.Contains(said(err), "needs a Docker engine") {
		t.Error(err)
	}
	if _, err := j.run(t, map[string]string{"command": "push", "tags": "1"}); err != nil || !strings.Contains(strings.Join(j.lines, "\n"), "No repository is specified. Nothing will be pushed.") {
		t.Error(err, j.lines)
	}
}

// The labels of the base image come from its registry, and a registry that does not answer
// keeps nobody from building.
func TestDockerBaseImageK024(t *testing.T) {
	base := registrytest.Start(t, "", registry.Options{})
	j := newDockerJob(t, base)
	digest := j.keeps(t, base.Host+"/shop/base:1")
	if _, err := j.run(t, map[string]string{"command": "push", "repository": "shop/base", "tags": "1"}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, image, want string }{
		{"of a registry", base.Host + "/shop/base:1", spell(map[string]string{"a": "1", "image.base.digest": digest, "image.base.ref.name": base.Host + "/shop/base:1"})},
		{"with its digest", "node:22@sha256:00", "map[a:1 image.base.digest:sha256:00 image.base.ref.name:node:22]"},
		{"nothing", "scratch", "map[a:1 image.base.ref.name:scratch]"},
		{"that nobody may ask for", "192.0.2.1:1/x:1", "map[a:1 image.base.ref.name:192.0.2.1:1/x:1]"},
		{"that is not known", "", "map[a:1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &dockerCall{tasks: j.tasks, in: map[string]string{"labels": `{"a":"1"}`, "baseImage": c.image}, say: func(string) {}, own: foreign.Login{Server: j.url, User: "run", Secret: j.token}}
			got := map[string]string{}
			if err := d.labels(t.Context(), []foreign.Login{d.own}, got); err != nil || spell(got) != c.want {
				t.Errorf("%s %v\nwant %s", spell(got), err, c.want)
			}
		})
	}
}
