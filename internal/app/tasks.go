package app

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"towpath.dev/towpath/internal/deploy"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/registry"
	"towpath.dev/towpath/internal/registry/build"
)

// tasks runs the pipeline tasks that need more than an agent has: it translates their
// inputs into calls of the builder and of deploy, with the job's own identity.
type tasks struct {
	builder  *build.Builder
	registry *registry.Service
	deploy   *deploy.Service
	host     string // of our registry in image names
	voices   *voices
	dial     dial              // to clusters that service connections name
	url      string            // of this server
	web      http.RoundTripper // to where charts are fetched from
}

var _ pipeline.Tasks = tasks{}

// Run runs one task.
func (t tasks) Run(ctx context.Context, call pipeline.TaskCall, out func(line string)) (map[string]string, error) {
	name, _, _ := strings.Cut(call.Task, "@")
	var mu sync.Mutex // Lines come from the task and, about refusals, from the cluster.
	write := out
	out = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		write(line)
	}
	defer t.voices.lend(call.Job.Run, out)()
	switch strings.ToLower(name) {
	case "docker":
		return t.docker(ctx, call, out)
	case "helmdeploy":
		return t.helm(ctx, call, out)
	case "kubernetesmanifest":
		return t.manifests(ctx, call, out)
	case "kubernetes":
		return t.kubectl(ctx, call, out)
	case "reviewapp":
		return t.reviewApp(ctx, call, out)
	}
	return nil, fault.New(fault.Invalid, "The server runs no task %s.", call.Task)
}

// jobActor is the actor behind a job.
func jobActor(j identity.JobClaims) identity.Actor {
	return identity.Actor{Kind: identity.KindRun, Name: strconv.FormatInt(j.Run, 10), Cap: identity.Write, Job: j}
}

// list splits an input of several values, which stand on lines or between commas.
func list(s string) []string {
	var out []string
	for _, v := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

func pair(s string, into map[string]string) error {
	k, v, ok := strings.Cut(s, "=")
	if !ok || k == "" {
		return fault.New(fault.Invalid, "%q is no KEY=VALUE.", s)
	}
	into[k] = v
	return nil
}

// options reads a command line of options: those with a value, and those without. An
// option that is not known is an error, never ignored.
func options(line, task string, valued map[string]func(string) error, flags map[string]*bool) error {
	words, err := words(line)
	if err != nil {
		return err
	}
	for i := 0; i < len(words); i++ {
		name, value, has := strings.Cut(words[i], "=")
		if f, ok := flags[name]; ok {
			*f = !has || value == "true"
			continue
		}
		set, ok := valued[name]
		if !ok {
			return fault.New(fault.Invalid, "%s does not understand the argument %q.", task, words[i]).WithNext("remove it from the input arguments")
		}
		if !has {
			if i++; i >= len(words) {
				return fault.New(fault.Invalid, "The argument %s of %s has no value.", name, task)
			}
			value = words[i]
		}
		if err := set(value); err != nil {
			return err
		}
	}
	return nil
}

// words splits a command line at white space; quotes keep words together. Nothing is
// expanded, and no shell sees it.
func words(s string) ([]string, error) {
	var out []string
	var word strings.Builder
	var quote rune
	started := false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && strings.ContainsRune(" \t\r\n", r):
			if started {
				out = append(out, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, fault.New(fault.Invalid, "A quote in %q is not closed.", s)
	}
	if started {
		out = append(out, word.String())
	}
	return out, nil
}

// maxFiles and maxFile bound what a chart or a set of manifests may be.
const (
	maxFiles = 2000
	maxFile  = 5 << 20
	maxAll   = 32 << 20
)

// files reads the tar of a task into memory.
func files(r io.Reader) ([]deploy.File, error) {
	var out []deploy.File
	total := int64(0)
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The files of the task did not arrive whole.").WithNext("run the job again")
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := path.Clean(h.Name)
		if total += h.Size; h.Size > maxFile || total > maxAll || len(out) >= maxFiles {
			return nil, fault.New(fault.TooLarge, "The files of the task are too many or too large (at most %d files, %d MiB each, %d MiB in all).",
				maxFiles, maxFile>>20, maxAll>>20)
		}
		if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
			return nil, fault.New(fault.Invalid, "The file %q lies outside of the task's folder.", h.Name)
		}
		b, err := io.ReadAll(io.LimitReader(t, maxFile))
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The files of the task did not arrive whole.")
		}
		out = append(out, deploy.File{Name: name, Data: b})
	}
}

// below returns the files in a folder, named from there.
func below(all []deploy.File, dir string) []deploy.File {
	prefix := path.Clean(dir) + "/"
	if prefix == "./" {
		return all
	}
	var out []deploy.File
	for _, f := range all {
		if rest, ok := strings.CutPrefix(f.Name, prefix); ok {
			out = append(out, deploy.File{Name: rest, Data: f.Data})
		}
	}
	return out
}

func truth(s string, unset bool) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "":
		return unset
	case "true", "yes", "y", "on":
		return true
	}
	return false
}
