package agent_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/agent"
	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

const registryPassword = "hunter2-is-no-password"

// docker is a step Docker@2 with inputs in pairs.
func docker(number int, pairs ...string) protocol.Step {
	s := protocol.Step{Number: number, Step: plan.Step{ID: "Docker", Name: fmt.Sprint("d", number), DisplayName: "Docker", Task: "Docker@2", Inputs: map[string]string{}, Condition: "succeeded()", Enabled: true}}
	for i := 0; i < len(pairs); i += 2 {
		s.Inputs[pairs[i]] = pairs[i+1]
	}
	return s
}

// said is the log of a step without its times.
func said(s *server, step int) string {
	var b strings.Builder
	for line := range strings.Lines(s.log[fmt.Sprint(step)]) {
		_, text, _ := strings.Cut(line, " ")
		b.WriteString(text)
	}
	return b.String()
}

// registries plays the server for Docker@2: a connection hub is https://hub.example.com.
func registries(calls *[]map[string]string) func(map[string]string) []protocol.TaskReply {
	return func(in map[string]string) []protocol.TaskReply {
		*calls = append(*calls, in)
		at := ""
		if c := in["containerRegistry"]; c != "" {
			at = "https://" + c + ".example.com"
		}
		switch in["command"] {
		case "login":
			auth := base64.StdEncoding.EncodeToString([]byte("robot:" + registryPassword))
			return []protocol.TaskReply{{File: "auths.json", Data: []byte(`{"` + at + `":{"auth":"` + auth + `"}}`)}, {Line: "Logged in to " + at}}
		case "logout":
			return []protocol.TaskReply{{File: "registry", Data: []byte(at)}}
		}
		return []protocol.TaskReply{{Line: "##vso[task.setvariable variable=evil]yes"}, {Line: "done"}}
	}
}

// What login keeps is there for the steps that follow, scripts too, in a file that only their
// user reads, and goes by logout; it is in no environment, and no log shows it.
func TestDockerLoginsK024(t *testing.T) {
	var calls []map[string]string
	s := &server{extras: extras{served: registries(&calls)}}
	show := `f="$DOCKER_CONFIG/config.json"; stat -c %a "$f"; grep -o 'https://[a-z]*' "$f"; cat "$f"; env | grep -c hunter2`
	c := run(t, s, func(j *protocol.Job) {
		bash := j.Phases[0].Steps
		for i, n := range []int{2, 6, 9} {
			bash[i].Number = n
		}
		j.Phases[0].Steps = []protocol.Step{
			docker(1, "command", "login", "containerRegistry", "hub"), bash[0],
			docker(3, "command", "login", "containerRegistry", "ghost"), docker(4, "command", "push", "repository", "web"),
			docker(5, "command", "logout", "containerRegistry", "hub"), bash[1],
			docker(7, "command", "logout"), docker(8, "command", "push", "repository", "web"), bash[2],
		}
	}, show+"; true", show+"; true", `echo "config=[$DOCKER_CONFIG]"; find "$(Agent.TempDirectory)" -name config.json | wc -l; echo 'evil=$(evil)'`)
	if c.Result != plan.Succeeded {
		t.Fatalf("%+v\n%v", c, s.log)
	}
	file := `{"auths":{"https://hub.example.com":{"auth":"***"}}}`
	want := map[int]string{
		2: "600\nhttps://hub\n" + file + "0\n",
		6: "600\nhttps://ghost\n" + strings.ReplaceAll(file, "hub", "ghost") + "0\n",
		9: "config=[]\n0\nevil=$(evil)\n",
	}
	for n, text := range want {
		if diff := cmp.Diff(text, said(s, n)); diff != "" {
			t.Errorf("step %d: %s", n, diff)
		}
	}
	first, second := calls[2]["auths"], calls[4]["auths"]
	if strings.Count(first, `"server"`) != 2 || !strings.Contains(first, "hub.example.com") || second != "" {
		t.Errorf("push was given %q with two logins and %q without", first, second)
	}
	for n, text := range s.log {
		if strings.Contains(text, registryPassword) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("robot:"+registryPassword))) {
			t.Errorf("the log of step %s shows the password:\n%s", n, text)
		}
	}
}

func TestDockerLabelsK024(t *testing.T) {
	var calls []map[string]string
	s := &server{extras: extras{served: registries(&calls)}}
	c := run(t, s, func(j *protocol.Job) {
		j.Variables = []plan.Value{
			{Name: "System.TeamFoundationCollectionUri", Text: "http://localhost:7080/"}, {Name: "System.TeamProject", Text: "shop"}, {Name: "Build.Repository.Name", Text: "shop/web"},
			{Name: "Build.SourceVersion", Text: "c0ffee"}, {Name: "Build.BuildNumber", Text: "7"},
		}
		last := j.Phases[0].Steps[1]
		last.Number = 4
		j.Phases[0].Steps = []protocol.Step{j.Phases[0].Steps[0], docker(2, "tags", "1"), docker(3, "command", "build", "addPipelineData", "false", "addBaseImageData", "false"), last}
	}, "cd $(Build.SourcesDirectory); printf 'FROM --platform=linux/amd64 Alpine:3 AS b\nFROM b\n' > Dockerfile", `for f in "$(d3.DockerOutput)"; do basename $f; sed s/#/+/g $f; done; echo "$DOCKEROUTPUT" | wc -l`)
	if c.Result != plan.Succeeded {
		t.Fatalf("%+v\n%v", c, s.log)
	}
	want := []map[string]string{
		{"command": "buildAndPush", "Dockerfile": "Dockerfile", "tags": "1", "auths": "", "baseImage": "alpine:3",
			"labels": `{"com.azure.dev.image.build.buildnumber":"7","com.azure.dev.image.build.repository.name":"shop/web","com.azure.dev.image.build.sourceversion":"c0ffee",` +
				`"com.azure.dev.image.system.teamfoundationcollectionuri":"http://localhost:7080/","com.azure.dev.image.system.teamproject":"shop"}`},
		{"command": "build", "Dockerfile": "Dockerfile", "auths": "", "addPipelineData": "false", "addBaseImageData": "false",
			"labels": `{"com.azure.dev.image.build.sourceversion":"c0ffee","com.azure.dev.image.system.teamfoundationcollectionuri":"http://localhost:7080/"}`},
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("build_3.txt\n++vso[task.setvariable variable=evil]yes\ndone\n1\n", said(s, 4)); diff != "" {
		t.Error(diff)
	}
}

// start and stop need an engine: the program docker of the host runs them, and what it prints
// commands nothing.
func TestDockerEngineK024(t *testing.T) {
	s := &server{}
	c := run(t, s, func(j *protocol.Job) {
		bash := j.Phases[0].Steps
		bash[1].Number = 4
		j.Phases[0].Steps = []protocol.Step{
			bash[0], docker(2, "command", "start", "container", "db", "arguments", "--attach\n-i"), docker(3, "command", "stop", "container", "db", "arguments", "-t 3"), bash[1],
			docker(5, "command", "start"),
		}
	}, `d=$(Agent.TempDirectory)/bin; mkdir $d; printf '#!/bin/sh\necho "engine $*"; echo "##vso[task.setvariable variable=evil]yes"\n' > $d/docker; chmod +x $d/docker; echo "##vso[task.prependpath]$d"`,
		`sed s/#/+/g "$(DockerOutput)"; echo 'evil=$(evil)'`)
	if c.Result != plan.Failed {
		t.Errorf("%+v", c)
	}
	if got := said(s, 2); !strings.Contains(got, "engine start db --attach -i\n") {
		t.Errorf("start said\n%s", got)
	}
	if diff := cmp.Diff("engine stop db -t 3\n++vso[task.setvariable variable=evil]yes\nevil=$(evil)\n", said(s, 4)); diff != "" {
		t.Error(diff)
	}
	if why := s.steps[5].Why; !strings.Contains(why, "needs the input container") {
		t.Error(why)
	}
}

func TestDockerWithoutAnEngineK024(t *testing.T) {
	s := &server{}
	run(t, s, func(j *protocol.Job) {
		step := docker(1, "command", "stop", "container", "db")
		step.Env = map[string]string{"PATH": "/nowhere"}
		j.Phases[0].Steps = []protocol.Step{step}
	})
	if why := s.steps[1].Why; !strings.Contains(why, "needs a Docker engine") || !strings.Contains(why, "demands: docker") {
		t.Error(why)
	}
}

func TestBaseImageK024(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"one", "FROM alpine:3.20\nRUN x\n", "alpine:3.20"},
		{"capitals, comments and blanks", "# FROM a\n  from  Alpine:3.20 \n", "alpine:3.20"},
		{"stages that stand on each other", "FROM golang:1 AS build\nFROM build as base\nFROM base\n", "golang:1"},
		{"the last stage counts", "FROM golang:1 AS build\nFROM scratch\nCOPY --from=build a b\n", "scratch"},
		{"a platform", "FROM --platform=$BUILDPLATFORM node:22 AS x\n", "node:22"},
		{"a digest", "FROM node:22@sha256:00\n", "node:22@sha256:00"},
		{"an argument", "ARG V\nFROM node:$V\n", ""},
		{"nothing", "RUN x\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := agent.BaseImage(c.text); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
