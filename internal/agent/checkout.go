package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// runCheckout brings the commit of the run into the workspace with the real git, as the
// user of the steps. The job token goes by the environment of git alone: it stands in
// no argument, no URL and no configuration file, so nothing stays behind
// (persistCredentials is always off).
func runCheckout(ctx context.Context, s *stepRun) error {
	repo, err := s.repository(s.input("repository"))
	if err != nil {
		return err
	}
	for _, name := range []string{"lfs", "persistCredentials"} {
		if s.flag(name, false) {
			s.print("##[warning]checkout: " + name + " has no effect here.")
		}
	}
	dir := s.space.path(dirSources)
	p := s.input("path")
	if p == "" && s.checkouts() > 1 {
		p = path.Join(dirSources, path.Base(repo.Repo)) // several ones lie side by side
	}
	if p != "" {
		rel, err := s.space.inside(s.space.dir, p)
		if err != nil {
			return err
		}
		if err := s.space.mkdirAll(filepath.ToSlash(rel)); err != nil {
			return fmt.Errorf("making the folder %s: %w", p, err)
		}
		dir = s.space.path(rel)
	}
	depth := 1
	if v := s.input("fetchDepth"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 0 {
			return fmt.Errorf("fetchDepth is %q; it must be a whole number, 0 for everything", v)
		}
		depth = n
	}
	s.print("##[section]Checking out " + repo.Repo + " at " + repo.Commit)
	fetch := []string{"fetch", "--force", "--no-recurse-submodules", "--progress"}
	if depth > 0 {
		fetch = append(fetch, "--depth="+strconv.Itoa(depth))
	}
	if s.flag("fetchTags", false) {
		fetch = append(fetch, "--tags")
	} else {
		fetch = append(fetch, "--no-tags")
	}
	if f := s.input("fetchFilter"); f != "" {
		fetch = append(fetch, "--filter="+f)
	}
	commands := [][]string{
		{"init", "--quiet", "--initial-branch=towpath", "."},
		{"config", "remote.origin.url", repo.CloneURL},
		append(fetch, "origin", repo.Commit),
		{"checkout", "--force", "--quiet", "--detach", repo.Commit},
	}
	if s.flag("clean", false) {
		commands = append(commands[:1:1], append([][]string{{"clean", "-ffdx"}}, commands[1:]...)...)
	}
	switch sub := strings.ToLower(s.input("submodules")); sub {
	case "", "false":
	case "true", "recursive":
		update := []string{"submodule", "update", "--init", "--force"}
		if sub == "recursive" {
			update = append(update, "--recursive")
		}
		commands = append(commands, update)
	default:
		return fmt.Errorf("submodules is %q; it must be true, false or recursive", sub)
	}
	for _, args := range commands {
		if err := s.git(ctx, dir, repo.CloneURL, args...); err != nil {
			return err
		}
	}
	return nil
}

// repository is what a step checks out: the pipeline's own repository, or the resource of
// an alias at the commit that the run was created with.
func (s *stepRun) repository(alias string) (protocol.Repository, error) {
	if alias == "" || strings.EqualFold(alias, "self") {
		return protocol.Repository{Alias: "self", Repo: s.job.Repo, CloneURL: s.job.CloneURL, Ref: s.job.Ref, Commit: s.job.Commit}, nil
	}
	for _, r := range s.job.Repositories {
		if strings.EqualFold(r.Alias, alias) {
			return r, nil
		}
	}
	return protocol.Repository{}, fmt.Errorf("checkout: %s is neither self nor the alias of a repository of this installation; declare it in resources.repositories", alias)
}

// checkouts counts the repositories that the steps of the job's phase check out.
func (s *stepRun) checkouts() int {
	seen := map[string]bool{}
	for i := range s.job.Phases {
		if s.job.Phases[i].Round != s.round {
			continue
		}
		for _, st := range s.job.Phases[i].Steps {
			if alias := strings.ToLower(st.Inputs["repository"]); st.Enabled && strings.EqualFold(st.Task, plan.TaskCheckout) && alias != "none" {
				seen[alias] = true
			}
		}
	}
	return len(seen)
}

// git runs one git command in a folder.
func (s *stepRun) git(ctx context.Context, dir, cloneURL string, args ...string) error {
	env := append(s.environment(),
		"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=http."+cloneURL+".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer "+s.job.Token,
		"GIT_CONFIG_KEY_1=protocol.version", "GIT_CONFIG_VALUE_1=2",
		"GIT_CONFIG_KEY_2=credential.helper", "GIT_CONFIG_VALUE_2=",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_ASKPASS=/bin/false", "GIT_ADVICE=0",
	)
	s.print("##[command]git " + strings.Join(args, " "))
	var last string
	exit, err := s.process(ctx, dir, env, append([]string{"/usr/bin/git"}, args...), func(lines [][]byte) {
		for i, l := range lines {
			// Git rewrites its progress line with carriage returns: the last state counts.
			if at := strings.LastIndexByte(string(l), '\r'); at >= 0 {
				lines[i] = l[at+1:]
			}
			if len(lines[i]) > 0 {
				last = string(lines[i])
			}
		}
		// What git prints is no logging command, whatever a server or repository says.
		s.lines(lines)
	}, nil)
	err = exitError("git "+args[0], exit, err)
	if err != nil && last != "" && exit.Code != 0 {
		return errors.New(err.Error() + ": " + last)
	}
	return err
}

// cleanName reports whether a path from an archive stays below where it is unpacked.
func cleanName(name string) bool {
	return name != "" && !path.IsAbs(name) && path.Clean("/"+name) == "/"+strings.TrimSuffix(name, "/") && !strings.ContainsRune(name, 0)
}
