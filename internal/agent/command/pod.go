package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/agent"
)

// Pod is "towpath-agent pod": it runs the one job of the pod that it is in, with the steps in
// the other containers. The server makes such pods.
func Pod(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("towpath-agent pod", flag.ContinueOnError)
	flags.SetOutput(stderr)
	server := flags.String("server", "", "base `URL` of the server as the pod reaches it")
	tokenFile := flags.String("token-file", "", "`file` with the token of the pod")
	work := flags.String("work", "", "working `folder`, shared with the other containers")
	name := flags.String("name", "", "name of the pod")
	sockets := flags.String("sockets", "", "`folder` in which the containers have their sockets")
	containers := flags.String("containers", "", "`names` of the containers, that of the job first")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	// The volume is for this container alone; its mode is the cluster's affair.
	token, err := os.ReadFile(*tokenFile)
	if err != nil {
		return fmt.Errorf("reading the token file: %w", err)
	}
	a, err := agent.New(agent.Config{
		Server: strings.TrimRight(*server, "/"), Token: strings.TrimSpace(string(token)), Name: *name, Version: Version, Slots: 1, Dir: *work, AllowRoot: true,
		Sockets: *sockets, Containers: strings.Split(*containers, ","), Log: slog.New(slog.NewTextHandler(stderr, nil)),
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// Install is "towpath-agent install FOLDER": it puts a copy of the program there, for the
// containers of a pod that have another image.
func Install(args []string) error {
	if len(args) != 1 {
		return errors.New("towpath-agent install needs a folder")
	}
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(args[0], "towpath-agent"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}
