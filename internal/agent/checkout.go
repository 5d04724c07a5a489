package agent

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// runCheckout brings the commit of the run into the workspace with the real git, as the
// user of the steps. The job token goes by the environment of git alone: it stands in
// no argument, no URL and no configuration file, so nothing stays behind
// (persistCredentials is always off).
func runCheckout(ctx context.Context, s *stepRun) error {
	if repo := s.input("repository"); repo != "self" {
		return fmt.Errorf("checkout: %s is not supported: only the pipeline's own repository can be checked out (self)", repo)
	}
	for _, name := range []string{"lfs", "persistCredentials"} {
		if s.flag(name, false) {
			s.print("##[warning]checkout: " + name + " has no effect here.")
		}
	}
	dir := s.space.path(dirSources)
	if p := s.input("path"); p != "" {
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
	s.print("##[section]Checking out " + s.job.Repo + " at " + s.job.Commit)
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
		{"config", "remote.origin.url", s.job.CloneURL},
		append(fetch, "origin", s.job.Commit),
		{"checkout", "--force", "--quiet", "--detach", s.job.Commit},
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
		if err := s.git(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// git runs one git command in a folder.
func (s *stepRun) git(ctx context.Context, dir string, args ...string) error {
	env := append(s.environment(),
		"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=http."+s.job.CloneURL+".extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Bearer "+s.job.Token,
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
