// Package command owns the command line of towpath-agent: its flags, the token file
// and the choice of the user that steps run as.
//
// It imports package agent and the standard library.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/agent"
)

// Version is what the agent says of itself.
const Version = "0.1.0"

const usage = `towpath-agent runs jobs of a Towpath server on this host.

  towpath-agent --server http://127.0.0.1:7080 --token-file /etc/towpath/agent.token --work /var/lib/towpath-agent --user towpath-agent

On a machine that an environment deploys to, with the token that "towpath env target add" made:

  towpath-agent --environment shop/production --name web-1 --tags web,eu --server … --token-file … --work … --user …

`

// Run parses the arguments and runs the agent until ctx ends. What it has to say goes
// to stderr.
func Run(ctx context.Context, args []string, stderr io.Writer) error {
	host, err := os.Hostname()
	if err != nil {
		host = "agent"
	}
	flags := flag.NewFlagSet("towpath-agent", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	server := flags.String("server", "http://127.0.0.1:7080", "base `URL` of the server")
	tokenFile := flags.String("token-file", "", "`file` with the agent token")
	work := flags.String("work", "", "working `folder`, owned by the agent alone")
	name := flags.String("name", host, "name of the agent, unique at the server")
	environment := flags.String("environment", "", "`PROJECT/ENVIRONMENT` that this host is a target of: it gets the jobs for it and no others")
	tags := flags.String("tags", "", "`tags` of the target, with commas between them, unless the server has some for it")
	pool := flags.String("pool", "", "agent `pool` to belong to (default: that of the token, or Default)")
	has := capabilities{}
	flags.Var(has, "capability", "what this host has, beside the tools that are found, as `NAME=VALUE`; may be given several times")
	slots := flags.Int("slots", 1, "jobs at a time")
	steps := flags.String("user", "", "`user` that steps run as, a name or uid:gid; needs root")
	root := flags.Bool("allow-root", false, "let steps run as root when no user is given")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if *tokenFile == "" || *work == "" {
		return errors.New("--token-file and --work are needed; see towpath-agent --help")
	}
	cfg := agent.Config{
		Server: strings.TrimRight(*server, "/"), Name: *name, Version: Version, Slots: *slots, AllowRoot: *root, Pool: *pool, Capabilities: has,
		Log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	if cfg.Environment = *environment; cfg.Environment != "" {
		if project, env, ok := strings.Cut(cfg.Environment, "/"); !ok || project == "" || env == "" {
			return fmt.Errorf("--environment %s is not PROJECT/ENVIRONMENT, as shop/production", cfg.Environment)
		}
	}
	for tag := range strings.SplitSeq(*tags, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			cfg.Tags = append(cfg.Tags, tag)
		}
	}
	if len(cfg.Tags) > 0 && cfg.Environment == "" {
		return errors.New("--tags are those of a target; they need --environment PROJECT/ENVIRONMENT")
	}
	if cfg.Token, err = readToken(*tokenFile); err != nil {
		return err
	}
	if cfg.Dir, err = filepath.Abs(*work); err != nil {
		return err
	}
	if *steps != "" {
		if cfg.UID, cfg.GID, err = lookup(*steps); err != nil {
			return err
		}
	}
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// capabilities collects NAME=VALUE.
type capabilities map[string]string

// String is what the flag is by default.
func (capabilities) String() string { return "" }

// Set takes one.
func (c capabilities) Set(text string) error {
	name, value, _ := strings.Cut(text, "=")
	if name == "" {
		return errors.New("write NAME=VALUE")
	}
	c[name] = value
	return nil
}

// readToken reads the token file, which must be for its owner alone.
func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the token file %s can be read by others; make it private: chmod 600 %s", path, path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the token file: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// lookup finds the ids of a user, given by name or as uid:gid.
func lookup(text string) (uid, gid *uint32, err error) {
	first, second, both := strings.Cut(text, ":")
	if !both {
		u, err := user.Lookup(text)
		if err != nil {
			return nil, nil, fmt.Errorf("the user for the steps: %w; make one with: useradd --system --no-create-home %s", err, text)
		}
		first, second = u.Uid, u.Gid
	}
	var ids [2]uint32
	for i, t := range []string{first, second} {
		n, err := strconv.ParseUint(t, 10, 32)
		if err != nil {
			return nil, nil, fmt.Errorf("the user for the steps %q is neither a name nor uid:gid", text)
		}
		ids[i] = uint32(n)
	}
	if ids[0] == 0 {
		return nil, nil, errors.New("the user for the steps is root; name an unprivileged one")
	}
	return &ids[0], &ids[1], nil
}
